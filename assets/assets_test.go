package assets_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pasteline/pasteline/assets"
)

func ExampleParseTemplates() {
	embedded := fstest.MapFS{"templates/home.html": {Data: []byte("<p>{{.}}</p>\n")}}
	pages, err := assets.ParseTemplates(assets.Files(embedded, false), nil, "templates/*.html")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := pages.Execute(os.Stdout, "home.html", "a < b"); err != nil {
		fmt.Println(err)
	}
	// Output: <p>a &lt; b</p>
}

// program prints a page and a file again for each line that it reads.
const program = `package main

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"os"

	"github.com/pasteline/pasteline/assets"
)

//go:embed templates static
var embedded embed.FS

func main() {
	files := assets.Files(embedded, os.Args[1] == "debug")
	pages, err := assets.ParseTemplates(files, nil, "templates/*.html")
	if err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := pages.Execute(os.Stdout, "home.html", nil); err != nil {
			fmt.Print("error")
		}
		static, _ := fs.ReadFile(files, "static/a.txt")
		fmt.Printf(" %s\n", static)
	}
}
`

// With debug a built program shows changed files, and an error in a template as long as it is
// there; without debug, or built with -trimpath, it shows those that were embedded.
func TestFiles(t *testing.T) {
	t.Parallel()
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("main.go", program)
	write("go.mod", "module example.com/page\n\ngo 1.26.0\n\nrequire "+
		"github.com/pasteline/pasteline v0.0.0\n\nreplace github.com/pasteline/pasteline => "+
		source+"\n")
	for _, trim := range []string{"false", "true"} {
		write("templates/home.html", "one")
		write("static/a.txt", "1")
		build := exec.Command("go", "build", "-mod=mod", "-trimpath="+trim, "-o", "page-"+trim, ".")
		build.Dir = dir
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for mode, want := range map[string]string{
			"debug": "one 1 two 2 error 2 three 2", "not": "one 1 one 1 one 1 one 1",
		} {
			if trim == "true" {
				want = "one 1 one 1 one 1 one 1"
			}
			write("templates/home.html", "one")
			write("static/a.txt", "1")
			run := exec.Command(filepath.Join(dir, "page-"+trim), mode)
			in, err := run.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := run.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, text := range []string{"one", "two", "{{", "three"} {
				write("templates/home.html", text)
				if text == "two" {
					write("static/a.txt", "2")
				}
				fmt.Fprintln(in)
				line := make([]byte, 100)
				n, err := out.Read(line)
				if err != nil {
					t.Fatal(err)
				}
				for !strings.HasSuffix(string(line[:n]), "\n") {
					more, err := out.Read(line[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += more
				}
				got = append(got, strings.TrimSpace(string(line[:n])))
			}
			in.Close()
			if err := run.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("%s, trimpath %s: got %q, want %q", mode, trim, got, want)
			}
		}
	}
}

func TestParseTemplatesReportsFaults(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"home.html": {Data: []byte("{{")}}
	if _, err := assets.ParseTemplates(files, nil, "*.html"); err == nil {
		t.Error("no error for a template that can't be parsed")
	}
	var empty fs.FS = fstest.MapFS{}
	if _, err := assets.ParseTemplates(empty, nil, "*.html"); err == nil {
		t.Error("no error for a pattern without files")
	}
}
