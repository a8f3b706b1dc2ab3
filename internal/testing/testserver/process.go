package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// startLimit is the time limit for the start of a server on a very busy machine.
const startLimit = 2 * time.Minute

// ErrPortInUse is returned if a server did not start because its port is in use.
var ErrPortInUse = errors.New("the port is in use")

// Process is a started server: its first process and the descendants. It is safe for concurrent
// use.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a server and returns when its log says that it is ready. If it ends before, the
// error has the log of this start, and wraps [ErrPortInUse] if that was the cause.
func (h *Home) Start(ready, program string, args ...string) (*Process, error) {
	said := &output{log: h.log, ready: []byte(ready), isReady: make(chan struct{})}
	cmd := h.command(program, args...)
	// With one writer that is not a file, Wait returns when all processes that inherited it have
	// ended.
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the log has the result
		close(p.ended)
	}()
	late := time.NewTimer(startLimit)
	defer late.Stop()
	select {
	case <-said.isReady:
		return p, nil
	case <-p.ended:
		text := said.start()
		if strings.Contains(text, "Address already in use") {
			return nil, fmt.Errorf("%s: %w\n%s", program, ErrPortInUse, text)
		}
		return nil, fmt.Errorf("%s ended before it was ready\n%s", program, text)
	case <-late.C:
		return nil, errors.Join(fmt.Errorf("%s was not ready within %v\n%s", program, startLimit,
			said.start()), p.Kill())
	}
}

// Pid returns the id of the first process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended is closed when all processes of the server have ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal to the first process. It is not an error if that has ended.
func (p *Process) Signal(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends all processes of the server at once, as kill -9 does, and returns when they have ended.
func (p *Process) Kill() error {
	if err := killFamily(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// output writes the output of a server to the log, and searches it for the words that announce
// readiness.
type output struct {
	mu      sync.Mutex // guards the next fields
	log     *os.File
	ready   []byte
	isReady chan struct{}
	text    []byte // the output until it was ready
	done    bool
}

func (o *output) Write(said []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.text = append(o.text, said...)
		if bytes.Contains(o.text, o.ready) {
			o.done = true
			close(o.isReady)
		}
	}
	// The log may be closed before the server ends, which must not break the server's pipe.
	_, _ = o.log.Write(said)
	return len(said), nil
}

// start returns the output of the server until it was ready.
func (o *output) start() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
