package server

import (
	"io"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/internal/form"
)

// withBody serves a request that has a body, of limit bytes at most if that is not 0, whose every piece has to come in time. http.Server's ReadTimeout is one
// deadline for the whole request; it would cut long uploads, and cancel the context of handlers that run for longer.
//
// The writer raw is net/http's own, which w passes on to.
func withBody(w, raw http.ResponseWriter, r *http.Request, timeout time.Duration, limit int64, h http.Handler) {
	b := &body{ReadCloser: r.Body, control: *http.NewResponseController(raw), timeout: timeout, renew: r.ProtoMajor == 1}
	if b.renew {
		// Not only while the handler reads: net/http itself reads what is left before it answers.
		_ = b.control.SetReadDeadline(time.Now().Add(timeout))
		defer func() {
			if !b.ended {
				_ = b.control.SetReadDeadline(time.Now().Add(timeout))
			}
		}()
	}
	own := &b.request
	*own = *r // a copy, since the request is net/http's
	own.Body = b
	if limit > 0 {
		own.Body = http.MaxBytesReader(raw, b, limit)
	}
	h.ServeHTTP(w, own)
	form.HandBack(r, own)
}

// A body is a request's body that gives up on a client which has stopped sending. It is for one goroutine at a time.
type body struct {
	io.ReadCloser
	request http.Request // that it is the body of; a field, as control is, so that the three cost one allocation
	control http.ResponseController
	timeout time.Duration
	renew   bool // HTTP/1: a deadline that has passed can be renewed. In HTTP/2 it ends the body, so there it is taken back.
	ended   bool
}

func (b *body) Read(p []byte) (int, error) {
	// A connection that knows no deadlines does without: there is no other way to read it.
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	if b.ended || !b.renew {
		// From the end of the body on, net/http listens for the client's leaving. That must not time out.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
