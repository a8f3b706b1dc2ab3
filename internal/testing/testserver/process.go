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

// startLimit is how long a server may take until it is ready. It takes a second; a machine may be very busy.
const startLimit = 2 * time.Minute

// ErrPortInUse says that a server did not start because its port is in use.
var ErrPortInUse = errors.New("the port is in use")

// Process is a server that was started: its first process, and those that came of it. It is safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a server and returns when it says in its log that it is ready. If it ends before, the error has the log of
// this start, and wraps [ErrPortInUse] if that is why.
func (h *Home) Start(ready, program string, args ...string) (*Process, error) {
	said := &output{log: h.log, ready: []byte(ready), isReady: make(chan struct{})}
	cmd := h.command(program, args...)
	// One writer for both that is not a file: so Wait returns when all that inherited it have ended, not only the first process.
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in the log
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
		return nil, errors.Join(fmt.Errorf("%s was not ready within %v\n%s", program, startLimit, said.start()), p.Kill())
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

// Kill ends all processes of the server at once, as kill -9 does it, and returns when they have ended.
func (p *Process) Kill() error {
	if err := killFamily(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// output takes to the log what a server says, and looks for the words by which it is ready.
type output struct {
	mu      sync.Mutex // guards the next fields
	log     *os.File
	ready   []byte
	isReady chan struct{}
	text    []byte // its output until it was ready
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
	// The log is closed before the server ends; it must not see a broken pipe for that.
	_, _ = o.log.Write(said)
	return len(said), nil
}

// start returns the output of the server until it was ready.
func (o *output) start() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
