package servetest

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// pipes is a listener whose connections are pipes in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{} // closed by Close
	close func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.done) })
	return p
}

// dial connects to the listener; it ignores the address.
func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- conn{server}:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close()
	return nil
}

// serverAddr and clientAddr are the addresses of all connections. They are TCP addresses because
// filters read the client's IP address.
var (
	serverAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:80"))
	clientAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:50000"))
)

func (p *pipes) Addr() net.Addr { return serverAddr }

// A conn is the server's end of a pipe.
type conn struct{ net.Conn }

func (conn) LocalAddr() net.Addr  { return serverAddr }
func (conn) RemoteAddr() net.Addr { return clientAddr }
