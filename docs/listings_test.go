//go:build unix

package docs_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/serve"
)

// patience limits the time of a command, for the slowest machine.
const patience = 5 * time.Minute

// TestListings runs the commands of each document from the beginning to the end, in an empty
// folder; those of the README and the documents beside it run in the tree. "serve" is the command
// built from the tree. Output is compared line by line; "..." stands for any text, and, alone on a
// line, for any number of lines. The ports 6543 and 8080 are replaced by free ones.

func TestMain(m *testing.M) {
	commands := map[string]func(){"serve": func() { serve.Main(myapp.Register) }}
	// this process is the stand-in, which is in the path by now
	if _, err := exec.LookPath("curl"); err != nil || filepath.Base(os.Args[0]) == "curl" {
		commands["curl"] = curl
	}
	testscript.Main(m, commands)
}

func TestListings(t *testing.T) {
	t.Parallel()
	modules := newModules(t)
	for _, d := range documents(t) {
		if strings.HasPrefix(d.path, "docs/reference/") {
			continue // generated; see TestReferenceListings
		}
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			newReader(t, d, modules).read()
		})
	}
}

// A reader runs the commands of one document.
type reader struct {
	t        *testing.T
	document document
	modules  modules
	home     string            // the first working directory
	dir      string            // the current working directory
	ports    *strings.Replacer // replaces the document's ports and database by real ones
	said     *strings.Replacer // the reverse, also for the names of folders
	server   *process          // the command in the background, or nil
}

func newReader(t *testing.T, d document, m modules) *reader {
	t.Helper()
	home := t.TempDir()
	one, other := freePort(t), freePort(t)
	r := &reader{
		t: t, document: d, modules: m, home: home, dir: home,
		ports: strings.NewReplacer("6543", one, "8080", other),
		said:  strings.NewReplacer(one, "6543", other, "8080", home, "/home/you"),
	}
	t.Cleanup(r.stop)
	usesDB := func(b block) bool {
		return b.language != "text" && strings.Contains(b.text, documentsDB)
	}
	if slices.ContainsFunc(d.blocks, usesDB) {
		uri, _, _ := strings.Cut(pgtest.Database(t), "?") // documents add options of their own
		r.ports = strings.NewReplacer("6543", one, "8080", other, documentsDB, uri)
		r.said = strings.NewReplacer(one, "6543", other, "8080", home, "/home/you",
			redact.Value("", uri), documentsDB)
	}
	return r
}

// documentsDB stands for an empty database on a server that the test starts.
const documentsDB = "postgres://localhost/site"

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (r *reader) read() {
	for _, b := range r.document.blocks {
		_, isFile := b.options["file"]
		_, isAddition := b.options["append"]
		_, isLog := b.options["log"]
		switch {
		case isLog && r.server == nil:
			r.errorf(b.line, "a log, but no program runs in the background")
		case isLog:
			r.server.waitFor("...\n" + b.text + "...\n")
		case b.language == "console":
			r.run(b)
		case b.language == "diff":
			r.patch(b)
		case isFile || isAddition:
			r.write(b)
		case (b.language == "go" || b.language == "ini" || b.language == "sh") &&
			!r.document.ofTree():
			r.errorf(b.line, "an untested listing: give it file=NAME, or make it console")
		}
	}
	r.stop()
	r.checkUse()
	r.compile()
}

// checkUse reports .ini listings that no command of the document uses.
func (r *reader) checkUse() {
	for _, b := range r.document.blocks {
		name := filepath.Base(b.options["file"])
		used := func(other block) bool {
			return strings.Contains(other.text, name) &&
				(other.language == "console" || other.language == "ini")
		}
		if filepath.Ext(name) == ".ini" && !slices.ContainsFunc(r.document.blocks, used) {
			r.errorf(b.line, "no command uses %s", name)
		}
	}
}

// compile compiles the listings in Go that no command of the document compiles.
func (r *reader) compile() {
	if loose, err := filepath.Glob(filepath.Join(r.home, "*.go")); err != nil || len(loose) == 0 {
		return
	}
	if _, err := os.Stat(filepath.Join(r.home, "go.mod")); err == nil {
		return
	}
	r.dir = r.home
	r.run(block{text: "$ go mod init example.org/listings\n...\n$ go get " + module +
		"/serve@latest\n...\n$ go build -mod=mod .\n...\n"})
}

func (r *reader) errorf(line int, format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s:%d: %s", r.document.path, line, fmt.Sprintf(format, args...))
}

func (r *reader) write(b block) {
	path, flags := b.options["file"], os.O_TRUNC
	if path == "" {
		path, flags = b.options["append"], os.O_APPEND
	}
	path = filepath.Join(r.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	file, err := os.OpenFile(path, flags|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(r.ports.Replace(b.text)); err != nil {
		r.t.Fatal(err)
	}
}

// patch applies a diff: the old lines of each hunk must occur in the file exactly once.
func (r *reader) patch(b block) {
	path := filepath.Join(r.dir, b.options["file"])
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	for hunk := range strings.SplitSeq(b.text, "@@\n") {
		var before, after strings.Builder
		for line := range strings.Lines(hunk) {
			if !strings.HasPrefix(line, "+") {
				before.WriteString(line[min(1, len(line)-1):])
			}
			if !strings.HasPrefix(line, "-") {
				after.WriteString(line[min(1, len(line)-1):])
			}
		}
		if n := strings.Count(string(text), before.String()); n != 1 {
			r.errorf(b.line, "%s has this %d times, want 1:\n%s", b.options["file"], n,
				before.String())
			return
		}
		text = []byte(strings.Replace(string(text), before.String(), after.String(), 1))
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// differ reports that the output differs from the document, or, with -update, changes the document.
func (r *reader) differ(line int, command, want, got string) {
	r.t.Helper()
	if !*update {
		r.errorf(line, "%s:\ngot:\n%s\nwant:\n%s", command, got, want)
		return
	}
	path := filepath.Join(root, r.document.path)
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	want, got = strings.TrimRight(want, "\n"), strings.TrimRight(got, "\n")
	said := strings.TrimRight("$ "+command+"\n"+want, "\n") + "\n"
	says := strings.TrimRight("$ "+command+"\n"+got, "\n") + "\n"
	changed := strings.Replace(string(text), said, says, 1)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

var assignments = regexp.MustCompile(`^(\w+=\S+ )*`)

// run runs the commands of a block.
func (r *reader) run(b block) {
	_, background := b.options["background"]
	_, fails := b.options["fails"]
	if _, alone := b.options["alone"]; alone {
		r.stop()
	}
	line := b.line
	for step := range strings.SplitSeq(strings.TrimPrefix(b.text, "$ "), "\n$ ") {
		command, want, _ := strings.Cut(step, "\n")
		switch to, isCd := strings.CutPrefix(command, "cd "); {
		case isCd:
			r.dir = filepath.Join(r.dir, to)
		case background:
			r.stop()
			// not sh gets the signal
			r.server = r.start(line, assignments.ReplaceAllString(command, "${0}exec "))
			r.server.waitFor(want)
		default:
			p := r.start(line, command)
			if failed := p.wait(); failed != fails {
				r.errorf(line, "%s: failed: %t, want %t\n%s", command, failed, fails, p.output())
			} else if got := p.output(); !matches(want, got) {
				r.differ(line, command, want, got)
			}
		}
		line += 1 + strings.Count(step, "\n")
	}
}

// matches compares an output with the one in a document.
func matches(want, got string) bool {
	pattern := regexp.QuoteMeta(tidy(want))
	pattern = regexp.MustCompile(`(?m)^\\\.\\\.\\\.\n`).ReplaceAllString(pattern, `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, `\.\.\.`, `.*`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(tidy(got))
}

var (
	lineEnd = regexp.MustCompile(`(?m)[ \t\r]+$`)
	columns = regexp.MustCompile(`(\S)  +`)
)

// tidy removes trailing white space, and the widths of table columns, which may depend on a path.
func tidy(text string) string {
	text = lineEnd.ReplaceAllString(strings.TrimSpace(text)+"\n", "")
	return columns.ReplaceAllString(text, "$1  ")
}

// A process is a command, running or ended.
type process struct {
	r       *reader
	line    int
	command string
	cmd     *exec.Cmd
	done    chan struct{} // closed at its end

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *reader) start(line int, command string) *process {
	r.t.Helper()
	p := &process{r: r, line: line, command: command, done: make(chan struct{})}
	dir := r.dir
	env := os.Environ()
	command = r.ports.Replace(command) // before it has names of folders, which may have such digits
	if r.document.ofTree() {
		command, dir = r.inTree(command), root
	} else {
		env = append(env, r.modules.environ(r.home)...)
		r.choosePorts()
	}
	p.cmd = exec.Command("sh", "-c", command)
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run does not forward signals
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // wait reads ProcessState
		close(p.done)
	}()
	return p
}

var iniFile = regexp.MustCompile(`\S+\.ini`)

// choosePorts replaces the ports in .ini files that a command has written.
func (r *reader) choosePorts() {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.dir, "*.ini"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(r.ports.Replace(string(text))), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// inTree replaces the .ini files in a command by copies with free ports, in a temporary folder.
func (r *reader) inTree(command string) string {
	return iniFile.ReplaceAllStringFunc(command, func(path string) string {
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			r.t.Fatal(err)
		}
		own := filepath.Join(r.home, filepath.Base(path))
		if err := os.WriteFile(own, []byte(r.ports.Replace(string(data))), 0o644); err != nil {
			r.t.Fatal(err)
		}
		return own
	})
}

// Write collects the output.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

// output returns the output so far, with the ports and folder names of the document.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.said.Replace(p.text.String())
}

// it may be gone
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// wait waits for the command, and reports whether it failed.
func (p *process) wait() (failed bool) {
	p.r.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		p.r.t.Fatalf("%s:%d: %s: did not end\n%s", p.r.document.path, p.line, p.command, p.output())
	}
	return !p.cmd.ProcessState.Success()
}

// waitFor waits until the output matches want.
func (p *process) waitFor(want string) {
	p.r.t.Helper()
	deadline := time.After(patience)
	for got := p.output(); !matches(want, got); got = p.output() {
		if strings.Contains(want, "serving on") &&
			regexp.MustCompile(`(?m)^serving on .*\n`).MatchString(got) {
			// no more output will come
			p.r.t.Fatalf("%s:%d: %s: got:\n%s\nwant:\n%s", p.r.document.path, p.line,
				p.command, got, want)
		}
		select {
		case <-p.done:
			p.r.t.Fatalf("%s:%d: %s: ended:\n%s\nwant:\n%s", p.r.document.path, p.line, p.command,
				p.output(), want)
		case <-deadline:
			p.r.t.Fatalf("%s:%d: %s: got:\n%s\nwant:\n%s", p.r.document.path, p.line, p.command,
				p.output(), want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends the command in the background, as Ctrl-C does.
func (r *reader) stop() {
	r.t.Helper()
	if r.server == nil {
		return
	}
	p := r.server
	r.server = nil
	p.signal(syscall.SIGINT)
	// go run fails after Ctrl-C even if the program does not
	if failed := p.wait(); failed && !strings.Contains(p.command, "go run ") {
		r.errorf(p.line, "%s: failed after Ctrl-C\n%s", p.command, p.output())
	}
}
