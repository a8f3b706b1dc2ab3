package serve

import (
	"context"
	"net"
	"sync"
)

// A pipeListener accepts in-memory connections made by dial.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
	close       func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept waits for a call of dial.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.connections:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *pipeListener) Close() error {
	l.close()
	return nil
}

// Addr returns an address of this machine with an unused port.
func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.connections <- localConn{theirs}:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A localConn has addresses of this machine, for apps and filters that look at them.
type localConn struct{ net.Conn }

// RemoteAddr returns an address of this machine.
func (localConn) RemoteAddr() net.Addr { return (*pipeListener)(nil).Addr() }

// LocalAddr returns an address of this machine.
func (localConn) LocalAddr() net.Addr { return (*pipeListener)(nil).Addr() }
