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
	"github.com/pasteline/pasteline/internal/request/replay"
	"github.com/pasteline/pasteline/internal/request/respbuf"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// A source makes the requests of all attempts from the incoming one.
//
// A handler's changes to its request must not be visible to the next attempt. As most requests need
// only one attempt, the first gets the original and not a copy. The parts that it could change in
// place are recorded, which needs no allocation, and later attempts are rebuilt from the record.
type source struct {
	request *http.Request   // the incoming request, except for its context
	context context.Context //nolint:containedctx // the request's context
	body    *replay.Body    // nil if the request has no body
	filled  bool            // the body and its trailers have been received
	cloned  bool            // every attempt, also the first, gets a clone of request

	// the record of the parts that the first attempt could change
	route  route
	url    url.URL
	header respbuf.Fields
}

func newSource(ctx context.Context, r *http.Request, f *filter) *source {
	return &source{request: r, context: ctx, body: newBody(ctx, r, f)}
}

// newBody returns the body that attempts read again; nil if r has none. Outside of newSource it
// lets that be inlined, so that a source needs no allocation.
func newBody(ctx context.Context, r *http.Request, f *filter) *replay.Body {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	options := f.body()
	options.Spooled = observe.FromContext(ctx).OnSpooled(ctx, false)
	return replay.New(r.Body, options)
}

// fill receives the whole body, unless the request is a tunnel (CONNECT).
func (s *source) fill() error {
	if s.body == nil || !replay.Waits(s.request) {
		return nil
	}
	s.filled = true
	return s.body.Fill(s.context)
}

// close releases the buffer of the body.
func (s *source) close() {
	if s.body != nil {
		_ = s.body.Close() // the only effect of an error is a temporary file that stays
	}
}

// original returns the incoming request with its context, for logging.
func (s *source) original() *http.Request { return s.request.WithContext(s.context) }

// unchanged reports whether the request of an attempt is the incoming one, except for its context.
func (s *source) unchanged(try transaction.Attempt) bool {
	return try.Number == 1 && s.body == nil && !s.cloned
}

// record records, before the first attempt, the parts of the request that the attempt could change.
func (s *source) record(ctx context.Context, try transaction.Attempt) {
	if try.Number > 1 {
		return
	}
	r := s.request
	// A parsed form, and the match of an outer ServeMux, are rare and can't be recorded.
	s.cloned = r.Form != nil || r.PostForm != nil || r.MultipartForm != nil || r.Pattern != ""
	if try.Last() {
		return
	}
	s.route = saveRoute(ctx)
	if s.cloned {
		return
	}
	s.header.Take(r.Header)
	if r.URL != nil {
		s.url = *r.URL
	}
}

// next returns the request for an attempt.
func (s *source) next(
	ctx context.Context, result *attempt.Result, try transaction.Attempt,
) *http.Request {
	r := s.copy(ctx, try)
	if s.body != nil {
		r.Body = s.body.Attempt(result, try.Last())
		switch {
		case len(s.request.Trailer) == 0:
		case s.filled:
			r.Trailer = s.request.Trailer.Clone()
		default:
			own := &trailed{
				ReadCloser: r.Body,
				server:     s.request.Trailer,
				attempt:    make(http.Header),
			}
			for name := range own.server {
				own.attempt[name] = nil // announces the trailer, as net/http does
			}
			r.Body, r.Trailer = own, own.attempt
		}
	}
	return r
}

// A trailed is the body of a request with trailers. At the end of the body it copies the trailers
// that the server has received to those of the attempt.
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

// withoutBody returns the request of an attempt without a body, for OnRetry.
func (s *source) withoutBody(ctx context.Context, try transaction.Attempt) *http.Request {
	r := s.copy(ctx, try)
	r.Body = http.NoBody
	return r
}

// copy returns the request of an attempt without the attempt's own body.
func (s *source) copy(ctx context.Context, try transaction.Attempt) *http.Request {
	if try.Number > 1 {
		ctx = s.route.restore(ctx)
	}
	if s.cloned {
		return s.request.Clone(ctx)
	}
	r := s.request.WithContext(ctx)
	// the original maps belong to the first attempt: a goroutine of it may still use them
	if try.Number > 1 {
		r.Header = s.header.Header()
		if r.URL != nil {
			u := s.url
			r.URL = &u
		}
	}
	return r
}
