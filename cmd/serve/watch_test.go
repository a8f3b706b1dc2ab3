//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watchedMain is a program whose app answers with a text, the greeting of the .ini file, and the id
// of its process.
const watchedMain = `package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

var _ = errors.New

type settings struct{ Greeting string }

func main() {
	serve.Main(func(r *pipeline.Registry) {
		pipeline.App(r, "egg:told", func(_ *pipeline.Build, s settings) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintln(w, TEXT, s.Greeting, os.Getpid())
			}), nil
		})
	})
}
`

// watchedINI is the file of that program.
const watchedINI = "[app:main]\nuse = egg:told\ngreeting = hello\n" +
	"[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n"

// watchLimit is the time that a build may take on a machine that has much else to do.
const watchLimit = time.Minute

// A watched site is a module of its own, served with --watch.
type watchedSite struct {
	*site

	refused *int // connections, since the test has reset it
}

// write writes a file of the module.
func (s watchedSite) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// answers waits until the program answers with a text, and returns the id of its process.
func (s watchedSite) answers(want string) (pid int) {
	s.t.Helper()
	got := ""
	for deadline := time.Now().Add(watchLimit); time.Now().Before(deadline); {
		if !s.running() {
			s.t.Fatal("the watching process has ended")
		}
		if addr, err := os.ReadFile(s.addrFile()); err == nil && len(addr) > 0 {
			s.base = "http://" + strings.TrimSpace(string(addr))
			response, err := s.client.Get(s.base)
			if errors.Is(err, syscall.ECONNREFUSED) {
				*s.refused++
			}
			if err == nil {
				text, _ := io.ReadAll(response.Body)
				response.Body.Close()
				got = string(text)
				if rest, ok := strings.CutPrefix(got, want+" "); ok {
					if _, err := fmt.Sscan(rest, &pid); err != nil {
						s.t.Fatal(err)
					}
					return pid
				}
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	s.t.Fatalf("got %q, want %q", got, want)
	return 0
}

// logs waits until the log has a text, after the last text that it waited for.
func (s watchedSite) logs(seen *int, want string) {
	s.t.Helper()
	for deadline := time.Now().Add(watchLimit); time.Now().Before(deadline); {
		if i := strings.Index(s.logText()[*seen:], want); i >= 0 {
			*seen += i + len(want)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	s.t.Fatalf("the log has no %q", want)
}

// A real module: its Go files, those of a package that it begins to import, and its .ini file
// change; its build fails, its start fails; and in the end nothing of it is left.
func TestWatch(t *testing.T) {
	t.Parallel()
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := watchedSite{makeSite(t, "serve", watchedINI, "--watch", "--build", ".",
		"--reload-interval", "100ms"), new(int)}
	text := func(expression string) string {
		return strings.Replace(watchedMain, "TEXT", expression, 1)
	}
	s.write("main.go", text(`"one"`))
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, requires, _ := strings.Cut(string(mod), "\nrequire")
	s.write("go.mod", "module example.com/told\n\ngo 1.26.0\n\nrequire "+
		"github.com/pasteline/pasteline v0.0.0\n\nreplace github.com/pasteline/pasteline => "+
		source+"\n\nrequire"+requires)
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("go.sum", string(sum))
	s.prepare = func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod -ldflags=-w")
	}
	s.client = newClient()
	s.launch()
	t.Cleanup(func() {
		if s.running() { // after a failure: a kill would leave the program behind
			s.signal(os.Interrupt)
			s.ended()
		}
	})
	seen := 0

	first := s.answers("one hello")
	*s.refused = 0 // the address file was written before
	s.write("site.ini", strings.Replace(watchedINI, "hello", "welcome", 1))
	if pid := s.answers("one welcome"); pid != first {
		t.Errorf("a change of the .ini file has restarted the program")
	}

	s.write("main.go", text(`nothing`))
	s.logs(&seen, "undefined: nothing")
	s.logs(&seen, "watch: the build failed, the program of before keeps running")
	if pid := s.answers("one welcome"); pid != first {
		t.Errorf("a build that fails has restarted the program")
	}

	s.write("words/words.go", "package words\n\nconst Two = \"two\"\n")
	s.write("main.go", strings.Replace(text("words.Two"), "import (",
		"import (\n\t\"example.com/told/words\"\n", 1))
	if pid := s.answers("two welcome"); pid == first {
		t.Errorf("another program has the process id %d", pid)
	}
	s.write("words/words.go", "package words\n\nconst Two = \"2\"\n")
	s.answers("2 welcome")
	if *s.refused > 0 {
		t.Errorf("%d connections were refused while the program was restarted", *s.refused)
	}

	s.write("main.go", strings.Replace(text(`"none"`), "return http.HandlerFunc(",
		"if s.Greeting != \"\" {\nreturn nil, errors.New(\"no luck\")\n}\nreturn http.HandlerFunc(",
		1))
	s.logs(&seen, "no luck")
	s.logs(&seen, "watch: the program has failed (exit status 1); waiting for a change")
	s.write("main.go", text(`"three"`))
	s.answers("three welcome")

	s.signal(os.Interrupt)
	s.endedWell()
	if response, err := s.client.Get(s.base); err == nil {
		response.Body.Close()
		t.Error("the program answers, though the watching process has ended")
	}
}
