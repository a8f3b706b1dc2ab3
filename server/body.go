package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/form"
	"github.com/pasteline/pasteline/internal/sent"
	"github.com/pasteline/pasteline/internal/underway"
)

// A response is what handlers write to.
type response struct {
	sent.Writer
	underway.Request
	http1 bool
	body  *body // nil: there is none
}

// SetReadDeadline sets a deadline for reading the body, besides that of each piece. When there is nothing more to read it has no effect:
// net/http then listens for the client's leaving, and would take the deadline for that.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.body != nil {
		return w.body.setDeadline(t)
	}
	if w.http1 {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// withBody serves a request that has a body, of limit bytes at most if that is not 0, whose every piece has to come in time. http.Server's ReadTimeout is one
// deadline for the whole request; it would cut long uploads, and cancel the context of handlers that run for longer.
//
// The writer raw is net/http's own, which w passes on to.
func withBody(w *response, raw http.ResponseWriter, r *http.Request, timeout time.Duration, limit int64, h http.Handler) {
	b := &body{ReadCloser: r.Body, control: *http.NewResponseController(raw), timeout: timeout, http1: w.http1}
	w.body = b
	if b.http1 {
		// Not only while the handler reads: net/http itself reads what is left before it answers.
		_ = b.setDeadline(time.Time{})
		defer b.leave()
	}
	own := &b.request
	*own = *r // a copy, since the request is net/http's
	own.Body = b
	if limit > 0 {
		own.Body = http.MaxBytesReader(raw, b, limit)
	}
	defer form.HandBack(r, own)
	h.ServeHTTP(w, own)
}

// A body is a request's body that gives up on a client which has stopped sending. It is read by one goroutine at a time.
type body struct {
	io.ReadCloser
	request http.Request // that it is the body of; a field, as control is, so that the three cost one allocation
	control http.ResponseController
	timeout time.Duration
	http1   bool // a deadline that has passed can be renewed. In HTTP/2 it ends the body, so there it is taken back.

	mu       sync.Mutex // guards the rest; not held while something is read
	deadline time.Time  // set by the handler; zero is none
	err      error      // with which the body has ended
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	err := b.err
	if err == nil {
		b.arm() // a connection that knows no deadlines does without: there is no other way to read it
	}
	b.mu.Unlock()
	if err != nil { // a client that has stopped is not waited for a second time
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
		// From the end of the body on, net/http listens for the client's leaving. That must not time out.
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

// setDeadline sets a deadline of the handler's, also for a read that is under way.
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

// leave lets net/http wait for what the handler has left unread, as long as for a piece, unless the client has been waited for already.
func (b *body) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.arm()
	}
}
