//go:build unix

package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// environment is the variable for the program: the process id of the keeper's process and the number
// of the inherited socket pair, then, one a line, the names of the sockets with the next numbers.
const environment = "PASTELINE_SOCKETS"

// firstFile is the number of the first inherited file.
const firstFile = 3

// The messages of the program: the first line is the kind, the others are names of sockets.
const (
	opened  = "opened"  // with a copy of the socket
	settled = "settled" // the names are all that the program listens on
	longest = 8 << 10   // bytes of a message
)

// program is the process's side.
type program struct {
	conn *net.UnixConn // to the keeper

	mu        sync.Mutex // guards the rest
	inherited map[string]*os.File
	used      []string
}

// started returns the side of this process, or nil if no keeper has started it.
var started = sync.OnceValue(func() *program {
	text := os.Getenv(environment)
	first, names, _ := strings.Cut(text, "\n")
	var parent, number int
	if _, err := fmt.Sscan(first, &parent, &number); err != nil || parent != os.Getppid() {
		return nil // the variable may be inherited from further above
	}
	_ = os.Unsetenv(environment) // it is not for the children of this process
	file := inheritedFile(number)
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has a copy
	if err != nil {
		return nil
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil
	}
	p := &program{conn: unix, inherited: map[string]*os.File{}}
	if names != "" {
		for i, name := range strings.Split(names, "\n") {
			p.inherited[name] = inheritedFile(number + 1 + i)
		}
	}
	return p
})

func inheritedFile(number int) *os.File {
	syscall.CloseOnExec(number)
	return os.NewFile(uintptr(number), "inherited")
}

// Listen returns the socket of a name that a former process of this program has opened. If there is
// none, it calls open, and passes a copy of the result on. The error is that of open.
func Listen(name string, open func() (net.Listener, error)) (net.Listener, error) {
	p := started()
	if p == nil {
		return open()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if file := p.inherited[name]; file != nil {
		delete(p.inherited, name)
		l, err := net.FileListener(file) // a copy
		_ = file.Close()
		if err == nil {
			p.used = append(p.used, name)
			return l, nil
		}
	}
	l, err := open()
	if err == nil && p.send(name, l) == nil {
		p.used = append(p.used, name)
	}
	return l, err
}

var errNoFile = errors.New("the listener has no file")

// send passes a copy of a socket on. The caller holds p.mu.
func (p *program) send(name string, l net.Listener) error {
	filer, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return errNoFile
	}
	file, err := filer.File()
	if err != nil {
		return err
	}
	_, _, err = p.conn.WriteMsgUnix([]byte(opened+"\n"+name), syscall.UnixRights(int(file.Fd())), nil)
	return errors.Join(err, file.Close())
}

// Settle tells the keeper that the program listens on all its sockets: those of former processes that
// it does not use are closed.
func Settle() {
	p := started()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, file := range p.inherited {
		_ = file.Close() // nothing was written
		delete(p.inherited, name)
	}
	// Without the message, unused sockets stay open until the watching process ends.
	_, _ = p.conn.Write([]byte(settled + "\n" + strings.Join(p.used, "\n")))
}
