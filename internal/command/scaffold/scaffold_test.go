package scaffold_test

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/command/scaffold"
)

// root is the source of this module.
const root = "../../.."

var wantFiles = []string{
	".gitignore", "README.md", "app.go", "development.ini", "filter.go", "go.mod", "go.sum", "main.go", "production.ini", "site_test.go",
	"static/site.css", "templates/home.html", "templates/layout.html",
}

// TestItBuildsAndItsTestPasses is what a project is for: as it was generated, without the network.
func TestItBuildsAndItsTestPasses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a whole program")
	}
	dir := filepath.Join(t.TempDir(), "My Guest-book 2")
	written, err := scaffold.New(scaffold.Config{Dir: dir, Source: root})
	if err != nil {
		t.Fatal(err)
	}
	for i := range written {
		written[i] = strings.TrimPrefix(filepath.ToSlash(written[i]), filepath.ToSlash(dir)+"/")
	}
	if !slices.Equal(written, wantFiles) {
		t.Errorf("wrote %q", written)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"build", "-o", "program", "."}, {"test", "./..."}} {
		goCommand(t, dir, args...)
	}
	for _, args := range [][]string{{"version"}, {"help"}} {
		run := exec.CommandContext(t.Context(), filepath.Join(dir, "program"), args...)
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "go", args...)
	run.Dir = dir
	run.Env = append(os.Environ(), "GOFLAGS=-ldflags=-s", "GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestGoFilesAreFormatted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "a-project-with-a-very-long-name"} {
		dir := filepath.Join(t.TempDir(), name)
		if _, err := scaffold.New(scaffold.Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(sources) != 4 {
			t.Fatal(sources, err)
		}
		for _, file := range sources {
			text := read(t, file)
			if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
				t.Errorf("%s is not formatted, or worse: %v", file, err)
			}
		}
	}
}

func TestGoMod(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config scaffold.Config
		want   []string
	}{
		{"published", scaffold.Config{Version: "v1.2.3"}, []string{"module example.com/site\n", "require github.com/pasteline/pasteline v1.2.3\n"}},
		{"own module", scaffold.Config{Version: "v0.1.0", Module: "acme.org/web/site"}, []string{"module acme.org/web/site\n"}},
		{"pseudo-version", scaffold.Config{Version: "v0.0.0-20261123231100-0123456789ab"}, []string{"v0.0.0-20261123231100-0123456789ab\n"}},
		{"neither", scaffold.Config{}, []string{"//	go mod edit -replace github.com/pasteline/pasteline=../pasteline && go mod tidy\n"}},
		{"source", scaffold.Config{Source: root}, []string{"go.etcd.io/bbolt v", "replace github.com/pasteline/pasteline => /"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Dir = filepath.Join(t.TempDir(), "site")
			if _, err := scaffold.New(tt.config); err != nil {
				t.Fatal(err)
			}
			got := read(t, filepath.Join(tt.config.Dir, "go.mod"))
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// The version of the language must be no older than what this module asks for.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "site")
	if _, err := scaffold.New(scaffold.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go \S+$`)
	ours, theirs := version.FindString(read(t, root+"/go.mod")), version.FindString(read(t, filepath.Join(dir, "go.mod")))
	if ours == "" || ours != theirs {
		t.Errorf("this module has %q, projects have %q", ours, theirs)
	}
}

// Everyone gets a secret of their own.
func TestSecretsDiffer(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`(?m)^secret_key = ([0-9a-f]{64})$`)
	seen := map[string]bool{}
	for range 3 {
		dir := filepath.Join(t.TempDir(), "site")
		if _, err := scaffold.New(scaffold.Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		found := secret.FindStringSubmatch(read(t, filepath.Join(dir, "development.ini")))
		if found == nil || seen[found[1]] {
			t.Errorf("no secret, or a second time the same: %q", found)
			continue
		}
		seen[found[1]] = true
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	for _, name := range []string{"app.go", "go.mod"} {
		if err := os.WriteFile(filepath.Join(used, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		config  scaffold.Config
		wantErr string
	}{
		{"files are there", scaffold.Config{Dir: used}, "has app.go, go.mod already, and nothing is overwritten; choose another folder"},
		{"a file", scaffold.Config{Dir: file}, "can't make the folder: "},
		{"no letters", scaffold.Config{Dir: filepath.Join(used, "…")}, "no name of a project can be made of "},
		{"empty", scaffold.Config{}, `no name of a project can be made of ""`},
		{"module", scaffold.Config{Dir: filepath.Join(used, "new"), Module: "a//b"}, `"a//b" can't be the path of a module; want one such as example.com/new`},
		{"our module", scaffold.Config{Dir: filepath.Join(used, "new"), Module: scaffold.Pasteline}, "can't be the path of a module"},
		{"version", scaffold.Config{Dir: filepath.Join(used, "new"), Version: "(devel)"}, `"(devel)" is no version of a module`},
		{"source", scaffold.Config{Dir: filepath.Join(used, "new"), Source: used}, "is not the source of github.com/pasteline/pasteline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := scaffold.New(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
		})
	}
	t.Cleanup(func() { // when the subtests are done
		left, err := filepath.Glob(filepath.Join(used, "*"))
		if err != nil || len(left) != 2 || read(t, left[0]) != "mine" || read(t, left[1]) != "mine" {
			t.Errorf("something was written, or overwritten: %q, %v", left, err)
		}
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
