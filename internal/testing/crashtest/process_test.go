package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// program builds the worker, with crash points, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "crashtest")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "crashtest")
	args := []string{"build", "-tags", "failpoints", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-race" && setting.Value == "true" {
				args = append(args, "-race")
			}
		}
	}
	if said, err := exec.CommandContext(context.Background(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("go build: %w\n%s", err, said), os.RemoveAll(dir))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built.Load() {
		if path, err := program(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// built tells whether there is a program to be removed.
var built atomic.Bool

// A process is a run of the worker. Everything that a test waits for ends, at the latest, with the process, which is ended after
// a time that no machine should need.
type process struct {
	t      *testing.T
	world  *world
	name   string
	cmd    *exec.Cmd
	orders io.WriteCloser
	resume *os.File // nil: it does not pause
	ended  chan struct{}

	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	said    []string // and not yet read
	answers int      // transfers of which the outcome was told
	pauses  int      // and not yet seen
	over    bool     // it says nothing any more
	stderr  bytes.Buffer
}

const tooLong = 2 * time.Minute

var processes atomic.Int64

// start starts a worker. Environment may have PASTELINE_CRASH or PASTELINE_PAUSE.
func (w *world) start(environment string, flags ...string) *process {
	w.t.Helper()
	built.Store(true)
	path, err := program()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{t: w.t, world: w, name: fmt.Sprintf("p%d", processes.Add(1)), ended: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.cmd = exec.Command(path, append(append([]string{"-name", p.name, "-every", "1h"}, flags...), w.uri(0, p.name), w.uri(1, p.name))...)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1", environment)
	p.cmd.Stderr = locked{p}
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	var pauses *os.File
	if strings.HasPrefix(environment, "PASTELINE_PAUSE=") {
		theirs := [2]*os.File{}
		if pauses, theirs[0], err = os.Pipe(); err != nil {
			w.t.Fatal(err)
		}
		if theirs[1], p.resume, err = os.Pipe(); err != nil {
			w.t.Fatal(err)
		}
		p.cmd.ExtraFiles = theirs[:]
		defer theirs[0].Close()
		defer theirs[1].Close()
	}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if pauses != nil {
		go p.countPauses(pauses)
	}
	late := time.AfterFunc(tooLong, func() { p.cmd.Process.Signal(syscall.SIGQUIT) }) // so that its log tells what it waits for
	go func() {
		p.listen(out)
		p.cmd.Wait()
		late.Stop()
		close(p.ended)
	}()
	w.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if p.resume != nil {
			p.resume.Close()
		}
	})
	return p
}

// locked is where the worker's log and the reports of the race detector go.
type locked struct{ p *process }

func (l locked) Write(text []byte) (int, error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.stderr.Write(text)
}

func (p *process) countPauses(from *os.File) {
	defer from.Close()
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		p.change(func() { p.pauses++ })
	}
}

func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "committed", "aborted", "doubt":
			id, why, _ := strings.Cut(rest, ":")
			p.world.answered(id, verb, why)
			p.change(func() { p.answers++ })
		default:
			p.change(func() { p.said = append(p.said, lines.Text()) })
		}
	}
	p.change(func() { p.over = true })
}

func (p *process) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

// await waits until ok, which is asked after every change, or until nothing comes any more: then it reports false.
func (p *process) await(ok func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if p.over {
			return false
		}
		p.changed.Wait()
	}
	return true
}

// next returns what the worker says next, besides answers, or "" if it is dead.
func (p *process) next() (line string) {
	p.await(func() bool {
		if len(p.said) == 0 {
			return false
		}
		line, p.said = p.said[0], p.said[1:]
		return true
	})
	return line
}

// order gives an order, and returns the answer.
func (p *process) order(format string, args ...any) string {
	p.send(format, args...)
	return p.next()
}

func (p *process) send(format string, args ...any) {
	fmt.Fprintf(p.orders, format+"\n", args...) // if it has died, there is no answer
}

// expect fails the test if the worker says something else.
func (p *process) expect(want string) {
	p.t.Helper()
	if got := p.next(); got != want {
		p.t.Fatalf("the worker says %q, want %q\n%s", got, want, p.log())
	}
}

// awaitPause waits until the worker is at the place where it is to pause.
func (p *process) awaitPause() {
	p.t.Helper()
	ok := p.await(func() bool {
		if p.pauses == 0 {
			return false
		}
		p.pauses--
		return true
	})
	if !ok {
		p.t.Fatalf("the worker ended, and never came to the place where it was to pause\n%s", p.log())
	}
}

// goOn ends one pause.
func (p *process) goOn() { p.resume.Write([]byte{'\n'}) }

// goOnForGood ends one pause, and there will be no other.
func (p *process) goOnForGood() { p.resume.Close() }

// finish lets the worker end by itself.
func (p *process) finish() {
	p.t.Helper()
	p.orders.Close()
	<-p.ended
	if !p.cmd.ProcessState.Success() {
		p.t.Fatalf("the worker ended with %v\n%s", p.cmd.ProcessState, p.log())
	}
}

// killed waits for the end of the process, and reports whether it was by kill -9.
func (p *process) killed() bool {
	p.t.Helper()
	<-p.ended
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if !p.cmd.ProcessState.Success() {
		p.t.Fatalf("the worker ended with %v\n%s", p.cmd.ProcessState, p.log())
	}
	return false
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// awaitAnswers waits until the worker has told the outcome of n transfers.
func (p *process) awaitAnswers(n int) { p.await(func() bool { return p.answers >= n }) }

// left is the answer to "recover"; -1 if there is none.
func (p *process) left() int {
	p.t.Helper()
	line := p.order("recover")
	if line == "" {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(line, "left "))
	if err != nil {
		p.t.Fatalf("the worker says %q, want how much is left\n%s", line, p.log())
	}
	return n
}
