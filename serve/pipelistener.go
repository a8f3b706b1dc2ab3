package serve

import (
	"context"
	"net"
	"sync"
)

// A pipeListener accepts the connections that dial makes, in memory.
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

// Addr is an address of this machine, with a port that nothing has.
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

// A localConn comes from this machine, as apps and filters see it that look at the address.
type localConn struct{ net.Conn }

// RemoteAddr is an address of this machine.
func (localConn) RemoteAddr() net.Addr { return (*pipeListener)(nil).Addr() }

// LocalAddr is an address of this machine.
func (localConn) LocalAddr() net.Addr { return (*pipeListener)(nil).Addr() }
