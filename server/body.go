package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/inflight"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/observe"
)

// A response is the ResponseWriter that handlers get.
type response struct {
	sent.Writer
	inflight.Request
	seen  observe.Context // of the request, with its id
	http1 bool
	body  *body // nil without a body
}

// identify returns r with a context that carries its id.
func (w *response) identify(r *http.Request) *http.Request {
	w.seen.Context = r.Context() //nolint:fatcontext // w belongs to r
	w.seen.Request.Init()
	return r.WithContext(&w.seen) //nolint:contextcheck // it is derived from that of r
}

// SetReadDeadline sets a deadline for reading the body, in addition to the limit for each piece.
// After the end of the body it has no effect: net/http then waits for the client to disconnect, and
// would take the deadline for that.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.body != nil {
		return w.body.setDeadline(t)
	}
	if w.http1 {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// withBody serves a request with a body. The body may have limit bytes, if limit is not 0, and each
// piece must arrive within the timeout. http.Server's ReadTimeout is one deadline for the whole
// request: it would cut long uploads, and cancel the context of handlers that run longer.
//
// The writer raw is net/http's own, below w.
func withBody(w *response, raw http.ResponseWriter, r *http.Request, timeout time.Duration,
	limit int64, h http.Handler,
) {
	b := &body{
		ReadCloser: r.Body, control: *http.NewResponseController(raw), timeout: timeout,
		http1: w.http1,
	}
	w.body = b
	if b.http1 {
		// Set now, not only when the handler reads: net/http itself reads the rest before it
		// answers.
		_ = b.setDeadline(time.Time{})
		defer b.finish()
	}
	own := &b.request
	*own = *r // a copy, since the request is net/http's
	own.Body = b
	if limit > 0 {
		own.Body = http.MaxBytesReader(raw, b, limit)
	}
	defer formfiles.HandBack(r, own)
	h.ServeHTTP(w, own)
}

// A body is the body of a request that fails when the client stops sending. It is read by one
// goroutine at a time.
type body struct {
	io.ReadCloser
	// the request with this body; a field, like control, so that the three share one allocation
	request http.Request
	control http.ResponseController
	timeout time.Duration
	// an expired deadline can be extended; in HTTP/2 it ends the body, so there each one is
	// cancelled
	http1 bool

	mu       sync.Mutex // guards the rest; not held during a read
	deadline time.Time  // set by the handler; zero means none
	err      error      // the error that ended the body
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	err := b.err
	if err == nil {
		b.arm() // fails on a connection without deadlines, which is read without a limit
	}
	b.mu.Unlock()
	if err != nil { // don't wait again for a client that stopped
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		b.err = err
	}
	switch {
	case err == io.EOF:
		// After the end of the body, net/http waits for the client to disconnect. That must not
		// time out.
		_ = b.control.SetReadDeadline(time.Time{})
	case !b.http1:
		_ = b.control.SetReadDeadline(b.deadline)
	}
	return n, err
}

// arm sets the deadline for the next piece. The caller holds mu.
func (b *body) arm() {
	next := time.Now().Add(b.timeout)
	if !b.deadline.IsZero() && b.deadline.Before(next) {
		next = b.deadline
	}
	_ = b.control.SetReadDeadline(next)
}

// setDeadline sets the handler's deadline, also for a read that is waiting.
func (b *body) setDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil
	}
	b.deadline = t
	if b.http1 {
		b.arm()
		return nil
	}
	return b.control.SetReadDeadline(t)
}

// finish sets the deadline for the rest of the body, which net/http reads after the handler: the
// time for one piece, or none if the client has timed out already.
func (b *body) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.arm()
	}
}
