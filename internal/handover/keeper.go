//go:build unix

package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// A Keeper keeps the sockets of a program. It is safe for concurrent use. A nil Keeper keeps none.
type Keeper struct {
	conn  *net.UnixConn // receives what the program sends
	child *os.File      // the program's end

	mu      sync.Mutex // guards sockets
	sockets map[string]*os.File
}

var errNotUnix = errors.New("a socket pair is no unix socket")

// NewKeeper returns a Keeper without sockets. It must be closed.
func NewKeeper() (*Keeper, error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	own := os.NewFile(uintptr(pair[0]), "handover")
	child := os.NewFile(uintptr(pair[1]), "handover")
	conn, err := net.FileConn(own)
	if err := errors.Join(err, own.Close()); err != nil { // FileConn has a copy
		return nil, errors.Join(err, child.Close())
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errNotUnix, conn.Close(), child.Close())
	}
	k := &Keeper{conn: unix, child: child, sockets: map[string]*os.File{}}
	go k.receive()
	return k, nil
}

// Start starts cmd, the program, which inherits the kept sockets. Its Env must be set.
func (k *Keeper) Start(cmd *exec.Cmd) error {
	if k == nil {
		return cmd.Start()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := []string{
		fmt.Sprintf("%s=%d %d", environment, os.Getpid(), firstFile+len(cmd.ExtraFiles)),
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, k.child)
	for name, socket := range k.sockets {
		lines = append(lines, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, socket)
	}
	cmd.Env = append(cmd.Env, strings.Join(lines, "\n"))
	return cmd.Start() // with k.mu, so that no socket is closed before it is inherited
}

// Release closes the kept sockets, so that clients are refused again. It is for a program that has
// ended and is not started again soon.
func (k *Keeper) Release() {
	if k == nil {
		return
	}
	k.keepOnly(nil)
}

// keepOnly closes all sockets but those with the names.
func (k *Keeper) keepOnly(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, socket := range k.sockets {
		kept := false
		for _, other := range names {
			kept = kept || other == name
		}
		if !kept {
			_ = socket.Close() // nothing was written
			delete(k.sockets, name)
		}
	}
}

// Close closes the sockets, and ends the goroutine that receives them.
func (k *Keeper) Close() error {
	if k == nil {
		return nil
	}
	k.Release()
	return errors.Join(k.conn.Close(), k.child.Close())
}

// receive stores the sockets that the program sends, until Close.
func (k *Keeper) receive() {
	text, rights := make([]byte, longest), make([]byte, syscall.CmsgSpace(4))
	for {
		n, m, _, _, err := k.conn.ReadMsgUnix(text, rights)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		kind, rest, _ := strings.Cut(string(text[:n]), "\n")
		switch kind {
		case settled:
			k.keepOnly(strings.Split(rest, "\n"))
		case opened:
			if file := received(rights[:m]); file != nil {
				k.mu.Lock()
				if former := k.sockets[rest]; former != nil {
					_ = former.Close()
				}
				k.sockets[rest] = file
				k.mu.Unlock()
			}
		}
	}
}

// received returns the file of a control message, or nil.
func received(rights []byte) *os.File {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	syscall.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "socket")
}
