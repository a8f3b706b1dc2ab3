package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A listener limits how long a write of its connections may make no progress, and accepts only as
// many connections as there are slots.
type listener struct {
	net.Listener
	writeTimeout time.Duration
	slots        slots
	closed       chan struct{}
	once         sync.Once
	// Accept failed after Close, so net/http knows every accepted connection
	ended atomic.Bool
}

func newListener(l net.Listener, writeTimeout time.Duration, slots slots) *listener {
	return &listener{
		Listener: l, writeTimeout: writeTimeout, slots: slots,
		closed: make(chan struct{}),
	}
}

func (l *listener) Accept() (net.Conn, error) {
	if !l.slots.acquire(l.closed) {
		l.ended.Store(true)
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		l.slots.release()
		l.ended.Store(errors.Is(err, net.ErrClosed))
		return nil, err
	}
	return wrapConn(c, l.writeTimeout, sync.OnceFunc(l.slots.release)), nil
}

// Close ends an Accept that waits for a connection or a slot. A second call has no effect.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// newConns are the connections of which no request has reached its handler yet. The zero newConns
// is ready for use.
type newConns struct {
	some  atomic.Bool // conns is not empty; written with mu held
	mu    sync.Mutex  // guards conns
	conns map[net.Conn]struct{}
}

// track is the ConnState of an http.Server, which calls it twice for each request. All requests
// would contend for mu, so mu is not taken when no connection is new, as under load. (A new
// connection never misses its own change: net/http reports it as new first.)
func (n *newConns) track(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.conns == nil {
			n.conns = map[net.Conn]struct{}{}
		}
		n.conns[bare(c)] = struct{}{}
		n.some.Store(true)
	case http.StateActive: // a request was read and is not answered yet
	default:
		n.remove(bare(c))
	}
}

// requested is called with the connection of each request that reaches its handler. A nil c is a
// connection of another server.
func (n *newConns) requested(c *conn) {
	if c != nil {
		n.remove(c)
	}
}

func (n *newConns) remove(c net.Conn) {
	if !n.some.Load() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	n.some.Store(len(n.conns) > 0)
}

// close closes all new connections.
func (n *newConns) close() {
	n.mu.Lock()
	conns := slices.Collect(maps.Keys(n.conns))
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // no request is lost
	}
}

// slots limits the connections of all listeners of a server: an open connection holds one slot. Nil
// slots mean no limit. A client without a slot waits in the queue of the system.
type slots chan struct{}

// acquire waits for a slot. It reports false if closed is closed first.
func (s slots) acquire(closed <-chan struct{}) bool {
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

func (s slots) release() {
	if s != nil {
		<-s
	}
}

// A conn is a connection that limits the time for each written piece. http.Server's WriteTimeout is
// one deadline for a whole response, and so would cut streams and large downloads.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	release      func() // releases the slot

	mu       sync.Mutex // guards deadline
	deadline time.Time  // for writing, set by the handler or net/http; zero means none

	reading readDeadline
	framing atomic.Pointer[framing] // nil with TLS, or after a hijack
}

// wrapConn wraps c. release is called when the connection is closed, at least once.
func wrapConn(c net.Conn, writeTimeout time.Duration, release func()) *conn {
	return &conn{
		Conn: c, writeTimeout: writeTimeout, release: release,
		reading: readDeadline{setNow: c.SetReadDeadline},
	}
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
				f.scan(b[:n])
			}
			return n, err
		}
	}
}

// SetReadDeadline sets the deadline for reading.
func (c *conn) SetReadDeadline(t time.Time) error { return c.reading.set(t) }

// pieceSize is the size of a piece: a client that accepts this many bytes within the write timeout
// is slow, but alive.
const pieceSize = 64 << 10

// Write writes b.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		if err := c.Conn.SetWriteDeadline(c.next()); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(b[n:])
		n += m
		if !c.continues(int64(m), err) {
			return n, err
		}
	}
}

// continues reports whether a write that ended with err goes on with another deadline, because the
// client has accepted a piece in the time.
func (c *conn) continues(written int64, err error) bool {
	if written < pieceSize || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline.IsZero() || time.Now().Before(c.deadline)
}

// ReadFrom writes src. If src is a file, the system can copy it directly (sendfile).
func (c *conn) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		// without the struct, io.Copy would call ReadFrom again
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	// The sendfile path of package net accepts one io.LimitedReader, so the caller's is merged.
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if file, ok := limited.R.(io.Seeker); ok {
		if start, err := file.Seek(0, io.SeekCurrent); err == nil { // no pipe
			return c.readFromFile(to, limited, file, start)
		}
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

// readFromFile writes src, a part of file from the offset start, in one go. After a deadline that
// was too short for all of it, it continues behind the last byte that was written, which is not
// always the last one that was read.
func (c *conn) readFromFile(to io.ReaderFrom, src *io.LimitedReader, file io.Seeker, start int64) (
	n int64, err error,
) {
	size := src.N
	for {
		if err := c.Conn.SetWriteDeadline(c.next()); err != nil {
			return n, err
		}
		m, err := to.ReadFrom(src)
		n += m
		src.N = size - n
		if !c.continues(m, err) {
			return n, err
		}
		if _, err := file.Seek(start+n, io.SeekStart); err != nil {
			return n, err
		}
	}
}

// CloseWrite closes the sending direction. Net/http then reads the rest from a client that it has
// refused: otherwise the reset of the connection could overtake the answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// next returns the deadline for the next piece: the write timeout from now, or the deadline that
// was set, if that is earlier.
func (c *conn) next() time.Time {
	next := time.Now().Add(c.writeTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && c.deadline.Before(next) {
		return c.deadline
	}
	return next
}

// SetWriteDeadline sets a deadline for all further writes, in addition to the limit for each piece.
// It never extends the limit of the current piece beyond that of a new one. Net/http cancels the
// deadline after every response, also if none was set: that call does nothing.
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

// connContext is the ConnContext of an http.Server: it stores the connection in the context of its
// requests.
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

// connOf returns the connection of a request, or nil if it belongs to another server.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// received returns the framing of c, or nil if it has none. A nil c belongs to another server.
func (c *conn) received() *framing {
	if c == nil {
		return nil
	}
	return c.framing.Load()
}

// releaseHijacked is called when a handler has hijacked c.
func releaseHijacked(c net.Conn) {
	if plain, ok := c.(*conn); ok {
		plain.framing.Store(nil)
	}
}

// abort closes the connection so that the client sees an error instead of a regular end: TCP's
// reset, and with TLS no close_notify. A unix socket can't be reset.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Close closes the connection and releases its slot.
func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
