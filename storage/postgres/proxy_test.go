package postgres_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// A fault is an action of the proxy on a connection whose client sends a certain text.
type fault int

const (
	none   fault = iota
	before       // it is cut, and nothing of it reaches the server
	middle       // half of it reaches the server
	after        // it reaches the server, and is cut then
	answer       // the server answers, and the client never hears it
	// the connection of the client is cut, and the server receives the text after the client has
	// looked up the outcome
	late
	hold // it is kept until the test says so, and then cut
)

func (f fault) String() string {
	return [...]string{"none", "before", "middle", "after", "answer", "late", "hold"}[f]
}

// A proxy is between a client and a server, and cuts connections with faults.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex // guards the rest
	open  map[net.Conn]bool
	look  []byte // in lower case; what the fault waits for
	fault fault
	held  chan struct{} // closed by free: what is held may go on

	received atomic.Int64 // bytes, from the server

	struck chan struct{} // gets something when something is held
}

// newProxy returns a proxy, and the URI of the database through it.
func newProxy(tb testing.TB, uri string) (*proxy, string) {
	tb.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{
		listener: listener, target: u.Host, open: map[net.Conn]bool{},
		struck: make(chan struct{}, 1),
	}
	u.Host = listener.Addr().String()
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.serve(client) })
		}
	})
	tb.Cleanup(func() {
		listener.Close()
		p.free()
		p.cut()
		p.group.Wait()
	})
	return p, u.String()
}

// arm sets a fault for the next connection that sends text.
func (p *proxy) arm(f fault, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.look, p.held = f, bytes.ToLower([]byte(text)), make(chan struct{})
}

// armed reports whether the fault is still pending.
func (p *proxy) armed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault != none
}

// free forwards held text.
func (p *proxy) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		conn.Close()
	}
}

func (p *proxy) keep(conn net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[conn] = true
	} else {
		delete(p.open, conn)
	}
}

// strikes returns the pending fault if text triggers it, once.
func (p *proxy) strikes(data []byte) (fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == none || !bytes.Contains(bytes.ToLower(data), p.look) {
		return none, nil
	}
	f := p.fault
	p.fault = none
	return f, p.held
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.keep(client, true)
	p.keep(server, true)
	defer p.keep(client, false)
	defer p.keep(server, false)

	answered := make(chan struct{}, 1)
	var mute sync.Mutex // locked while the client must not hear anything
	back := make(chan struct{})
	var holding atomic.Bool // the client is not to know yet that the server is gone
	go func() {
		defer close(back)
		defer func() {
			if !holding.Load() {
				client.Close()
			}
		}()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			p.received.Add(int64(n))
			select {
			case answered <- struct{}{}:
			default:
			}
			mute.Lock()
			_, err = client.Write(buffer[:n])
			mute.Unlock()
			if err != nil {
				return
			}
		}
	}()
	defer func() { server.Close(); <-back }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		data := buffer[:n]
		if bytes.Contains(data, []byte("SELECT committed FROM")) {
			p.free()
		}
		switch f, held := p.strikes(data); f {
		case before:
			return
		case middle:
			_, _ = server.Write(data[:n/2])
			return
		case after:
			_, _ = server.Write(data)
			return
		case answer:
			mute.Lock()
			select { // an earlier one
			case <-answered:
			default:
			}
			_, _ = server.Write(data)
			<-answered
			client.Close()
			mute.Unlock()
			return
		case hold:
			holding.Store(true)
			p.struck <- struct{}{}
			if held != nil {
				<-held
			}
			return
		case late:
			mute.Lock()
			client.Close()
			mute.Unlock()
			if held != nil {
				<-held
			}
			_, _ = server.Write(data)
			<-answered
			return
		}
		if _, err := server.Write(data); err != nil {
			return
		}
	}
}
