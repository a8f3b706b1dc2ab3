package retry

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/hold"
	"github.com/pasteline/pasteline/internal/replay"
	"github.com/pasteline/pasteline/transaction"
)

// A source makes the requests of all attempts from the one that came in.
//
// Nothing that a handler does to its request may reach the next attempt's. Most requests need only one attempt, so that one
// is not given copies: what it could change in place is noted down instead, which costs no allocation, and the later ones
// are made from the notes.
type source struct {
	request *http.Request   // as it came, but for its context
	context context.Context //nolint:containedctx // the one of the request
	body    *replay.Body    // nil if there is none
	filled  bool            // body is received, and the trailers with it
	cloned  bool            // request itself is out of reach of every attempt
	route   route
	url     url.URL
	header  hold.Fields
}

func newSource(ctx context.Context, r *http.Request, f *filter) *source {
	s := &source{request: r, context: ctx}
	if r.Body != nil && r.Body != http.NoBody {
		s.body = replay.New(r.Body, replay.Options{HighWater: f.HighWater, Max: bound(f.MaxBody)})
	}
	return s
}

// fill receives the whole body, unless it is one that can't be waited for.
func (s *source) fill() error {
	if s.body == nil || !replay.Waits(s.request) {
		return nil
	}
	s.filled = true
	return s.body.Fill(s.context)
}

// close gives back what was kept for attempts that will not be made any more.
func (s *source) close() {
	if s.body != nil {
		_ = s.body.Close() // nobody will miss the file
	}
}

// came returns the request that came in, for those who are told how it failed.
func (s *source) came() *http.Request { return s.request.WithContext(s.context) }

// asItCame reports whether the request of an attempt is the one that came in, but for its context.
func (s *source) asItCame(try transaction.Attempt) bool {
	return try.Number == 1 && s.body == nil && !s.cloned
}

// note takes down, before the first attempt, what that could change.
func (s *source) note(ctx context.Context, try transaction.Attempt) {
	if try.Number > 1 {
		return
	}
	r := s.request
	// A parsed form and what an outer ServeMux has matched are seldom there, and can't be noted down.
	s.cloned = r.Form != nil || r.PostForm != nil || r.MultipartForm != nil || r.Pattern != ""
	if try.Last() {
		return
	}
	s.route = noteRoute(ctx)
	if s.cloned {
		return
	}
	s.header.Take(r.Header)
	if r.URL != nil {
		s.url = *r.URL
	}
}

// next returns the request for an attempt.
func (s *source) next(ctx context.Context, result *attempt.Result, try transaction.Attempt) *http.Request {
	r := s.copy(ctx, try)
	if s.body != nil {
		r.Body = s.body.Attempt(result, try.Last())
		switch {
		case len(s.request.Trailer) == 0:
		case s.filled:
			r.Trailer = s.request.Trailer.Clone()
		default:
			own := &trailed{ReadCloser: r.Body, server: s.request.Trailer, attempt: make(http.Header)}
			for name := range own.server {
				own.attempt[name] = nil // announced
			}
			r.Body, r.Trailer = own, own.attempt
		}
	}
	return r
}

// A trailed is the body of an attempt whose request has trailers. When it has been read, it gives the attempt a copy of those
// that the server has received.
type trailed struct {
	io.ReadCloser
	server, attempt http.Header
	once            sync.Once
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		t.once.Do(func() { maps.Copy(t.attempt, t.server.Clone()) })
	}
	return n, err
}

// bodiless returns the request of an attempt for somebody who must not read the attempt's body.
func (s *source) bodiless(ctx context.Context, try transaction.Attempt) *http.Request {
	r := s.copy(ctx, try)
	r.Body = http.NoBody
	return r
}

func (s *source) copy(ctx context.Context, try transaction.Attempt) *http.Request {
	if try.Number > 1 {
		ctx = s.route.restore(ctx)
	}
	if s.cloned {
		return s.request.Clone(ctx)
	}
	r := s.request.WithContext(ctx)
	if try.Number > 1 { // the first attempt has the maps, perhaps in a goroutine that it left behind
		r.Header = s.header.Header()
		if r.URL != nil {
			u := s.url
			r.URL = &u
		}
	}
	return r
}
