// Package slowproxy has a TCP proxy for the loopback that delays data, and counts round
// trips. [Start] starts one in front of a server.
package slowproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy passes connections on to one server. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	delay    time.Duration
	trips    atomic.Int64
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// Start returns a proxy in front of the server at the address target. Data arrives later by delay,
// in each direction. The caller closes the proxy.
func Start(ctx context.Context, target string, delay time.Duration) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		listener: listener, target: target, delay: delay, open: map[net.Conn]struct{}{},
	}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the address at which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Trips returns the number of round trips on all connections since the start: how often a client
// has begun to send, at first or after the server had sent.
func (p *Proxy) Trips() int64 { return p.trips.Load() }

// Close closes the listener and all connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(client) })
	}
}

// keep reports whether the proxy is open, and has conn closed with it.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open[conn] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
	_ = conn.Close()
}

func (p *Proxy) pass(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target) //nolint:noctx // on the loopback
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(client) || !p.keep(server) {
		return
	}
	var asking atomic.Bool // the client was the last to send
	var both sync.WaitGroup
	both.Go(func() {
		p.copy(server, client, func() {
			if !asking.Swap(true) {
				p.trips.Add(1)
			}
		})
	})
	both.Go(func() { p.copy(client, server, func() { asking.Store(false) }) })
	both.Wait()
}

// A chunk is data that is passed on at a time.
type chunk struct {
	data []byte
	due  time.Time
}

// inFlight is the number of chunks that can be under way in one direction.
const inFlight = 1024

// copy passes on data, and calls arrived when some of it has been read. When from ends, it closes
// both connections.
func (p *Proxy) copy(to, from net.Conn, arrived func()) {
	chunks := make(chan chunk, inFlight)
	var writer sync.WaitGroup
	writer.Go(func() {
		defer func() { _ = to.Close() }()
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			if _, err := to.Write(c.data); err != nil {
				_ = from.Close()
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			arrived()
			chunks <- chunk{append([]byte(nil), buffer[:n]...), time.Now().Add(p.delay)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			break
		}
	}
	close(chunks)
	writer.Wait()
}
