package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A listener gives its connections a limit on how long a write may make no progress, and accepts only as many as there are
// slots.
type listener struct {
	net.Listener
	writeTimeout time.Duration
	slots        slots
	closed       chan struct{}
	once         sync.Once
	ended        atomic.Bool // Accept has failed after Close, so that what it returned before has been taken over
}

func newListener(l net.Listener, writeTimeout time.Duration, slots slots) *listener {
	return &listener{Listener: l, writeTimeout: writeTimeout, slots: slots, closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	if !l.slots.take(l.closed) {
		l.ended.Store(true)
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		l.slots.give()
		l.ended.Store(errors.Is(err, net.ErrClosed))
		return nil, err
	}
	return newConn(c, l.writeTimeout, sync.OnceFunc(l.slots.give)), nil
}

// Close ends an Accept that waits, for a connection or for a result. A second call does no harm.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// silentConns are the connections on which no request has reached its handler so far. The zero silentConns is ready for use.
type silentConns struct {
	some  atomic.Bool // conns is not empty; written with mu held
	mu    sync.Mutex  // guards conns
	conns map[net.Conn]struct{}
}

// note is the ConnState of an http.Server. It is called twice for each request, so that all requests meet at mu; when no
// connection is silent, as under load, none takes it. (One that is c's own is always seen: net/http tells of it as new first.)
func (s *silentConns) note(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conns == nil {
			s.conns = map[net.Conn]struct{}{}
		}
		s.conns[bare(c)] = struct{}{}
		s.some.Store(true)
	case http.StateActive: // it has been read, and is not yet answered
	default:
		s.remove(bare(c))
	}
}

// spoke is called by the handler of each request. A nil c is another server's.
func (s *silentConns) spoke(c *conn) {
	if c != nil {
		s.remove(c)
	}
}

func (s *silentConns) remove(c net.Conn) {
	if !s.some.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.some.Store(len(s.conns) > 0)
}

// close closes them all.
func (s *silentConns) close() {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // nobody waits for anything from them
	}
}

// slots are shared by the listeners of a server: a connection has one for as long as it is open. Nil slots are without
// limit. A client that gets none waits in the queue of the system.
type slots chan struct{}

// take waits for a result, and reports false when closed is closed before.
func (s slots) take(closed <-chan struct{}) bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	case <-closed:
		return false
	}
}

func (s slots) give() {
	if s != nil {
		<-s
	}
}

// A conn is a connection whose every piece written has a deadline of its own. http.Server's WriteTimeout is one deadline
// for a whole response, and so would cut streams and large downloads.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	release      func() // the result

	mu       sync.Mutex // guards deadline
	deadline time.Time  // for writing, set by the handler, or net/http; zero is none

	reading alarm
	framing atomic.Pointer[framing] // nil if what is received is encrypted, or the connection is a handler's
}

// newConn calls release when the connection is closed, at least once.
func newConn(c net.Conn, writeTimeout time.Duration, release func()) *conn {
	return &conn{Conn: c, writeTimeout: writeTimeout, release: release, reading: alarm{set: c.SetReadDeadline}}
}

// Read reads into b.
func (c *conn) Read(b []byte) (n int, err error) {
	for {
		if err := c.reading.begin(); err != nil {
			return 0, err
		}
		n, err = c.Conn.Read(b)
		if again := c.reading.end(err); !again || n > 0 {
			if f := c.framing.Load(); f != nil {
				f.note(b[:n])
			}
			return n, err
		}
	}
}

// SetReadDeadline sets the deadline for reading.
func (c *conn) SetReadDeadline(t time.Time) error { return c.reading.put(t) }

// pieceSize is how much of a large write may go out under one deadline: a client that takes this many bytes within the
// write timeout is slow, but alive.
const pieceSize = 64 << 10

// Write writes b, piece by piece.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(len(b), n+pieceSize)]
		if err := c.Conn.SetWriteDeadline(c.next()); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(piece)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// ReadFrom writes what src has, piece by piece. If that is a file, the system sends it by itself.
func (c *conn) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, src) // without the struct, io.Copy would call ReadFrom again, for ever
	}
	// The system looks through one limit only, so that of the caller is taken over.
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	for limited.N > 0 {
		piece := &io.LimitedReader{R: limited.R, N: min(limited.N, pieceSize)}
		size := piece.N
		if err := c.Conn.SetWriteDeadline(c.next()); err != nil {
			return n, err
		}
		m, err := to.ReadFrom(piece)
		n += m
		limited.N -= m
		if err != nil || m < size {
			return n, err
		}
	}
	return n, nil
}

// CloseWrite ends what is sent, and lets net/http take what still comes from a client that it has refused: else the end
// of the connection could overtake the answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// next is when the next piece has to be written: in time, and not later than the deadline that was set.
func (c *conn) next() time.Time {
	next := time.Now().Add(c.writeTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && c.deadline.Before(next) {
		return c.deadline
	}
	return next
}

// SetWriteDeadline sets a deadline for all further writes, besides that of each piece. A piece that is just being written gets
// no more time by it than one that begins now. Net/http takes the deadline back after every response, also if none was set:
// that costs nothing.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	same := t.IsZero() && c.deadline.IsZero()
	c.deadline = t
	c.mu.Unlock()
	if same {
		return nil
	}
	return c.Conn.SetWriteDeadline(c.next())
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

type connKey struct{}

// connContext is the ConnContext of an http.Server: it makes a connection known to its requests.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if plain, ok := c.(*conn); ok {
		plain.framing.Store(new(framing))
	}
	return context.WithValue(ctx, connKey{}, bare(c))
}

// bare returns the connection below TLS.
func bare(c net.Conn) net.Conn {
	if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok {
		return encrypted.NetConn()
	}
	return c
}

// connOf returns the connection that a request came on, nil if that is another server's.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// received is what is known of what c has received, nil if nothing is. A nil c is another server's.
func (c *conn) received() *framing {
	if c == nil {
		return nil
	}
	return c.framing.Load()
}

// handOver is called when a handler has hijacked c.
func handOver(c net.Conn) {
	if plain, ok := c.(*conn); ok {
		plain.framing.Store(nil)
	}
}

// abort closes the connection in such a way that the client sees an error, and not the end of what was sent: TCP's reset, and with
// TLS no farewell. A unix socket knows no such end.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Close closes the connection and gives back its result.
func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
