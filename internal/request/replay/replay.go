// Package replay lets a request body be read again from its start.
//
// [Body.Fill] receives the whole body before the first attempt, so that no attempt, and no resource
// that it holds, waits for the client. Without Fill, a [Body] records the bytes that an attempt's
// handler reads: the next attempt's [Body.Attempt] gets the same bytes from the record, and
// continues with the client's; nothing is read before the handler reads, and the last attempt is
// not recorded any more. The record is in memory up to a high-water mark, then in a temporary file.
//
// # Caveats
//
// A body that can't be read to its end fails the request, or the attempt that reads it, even if the
// handler ignores the error: it has worked on an incomplete body. Without Fill, bytes that the
// handler never reads don't matter.
//
// A goroutine that still runs after its attempt can't take bytes from a later one: its reader is
// detached, and bytes that it is just receiving are recorded for the others.
package replay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/spill"
)

// Options are the limits of a recording.
type Options struct {
	HighWater int64 // bytes kept in memory before a temporary file is used; see [spill.Buffer]
	Max       int64 // bytes a body may have; zero means [spill.DefaultMax], negative no limit
	// Spooled is called when a temporary file becomes necessary; see [spill.Buffer]
	Spooled func(bytes int64)
}

// Check returns an [http.MaxBytesError], with status 413, if r announces a body that is too long.
func (o Options) Check(r *http.Request) error {
	if limit := spill.Limit(o.Max); r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	return nil
}

// A Body is a request body that can be read once per attempt. It is safe for concurrent use by
// multiple goroutines.
type Body struct {
	source io.ReadCloser
	max    int64

	reading sync.Mutex // held while reading from the source; taken before mu

	mu      sync.Mutex // guards the rest
	current *reader
	record  spill.Buffer
	read    int64 // bytes received from the source; more than are recorded in the last attempt
	end     error // how the source ended: io.EOF or another error
	closed  bool
}

// New returns a Body that reads from source, which it never closes: that is for the server.
func New(source io.ReadCloser, options Options) *Body {
	b := &Body{source: source, max: spill.Limit(options.Max)}
	b.record.HighWater, b.record.Spooled = options.HighWater, options.Spooled
	return b
}

// Fill reads the source to its end. It must be called before the first Attempt; all attempts then
// read from the record. If the body is not received completely, the error has the status to answer
// with: 413, as an [http.MaxBytesError], if the body is longer than allowed, 408 if the server's
// read deadline has passed, 499 if ctx is cancelled because the client has gone, otherwise 400. An
// error of the record has no status.
func (b *Body) Fill(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	_, err := b.record.ReadFrom((*filling)(b))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.end == nil: // the record failed
		b.end = err
	case errors.Is(b.end, io.EOF):
		return nil
	case errors.Is(ctx.Err(), context.Canceled) && isGone(b.end):
		b.end = attempt.WithStatus(attempt.StatusClientClosedRequest, b.end)
	}
	return b.end
}

// isGone reports whether err, with the context cancelled, means that the client has gone. (For
// HTTP/1.1, net/http cancels the context after every error of a connection.) A client that has
// closed only its sending half may still read an answer.
func isGone(err error) bool {
	return attempt.Status(err) == http.StatusBadRequest && !errors.Is(err, io.ErrUnexpectedEOF)
}

// Waits reports whether the body of r must be awaited: there is one, and r is no tunnel, whose body
// ends with the answer.
func Waits(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.Method != http.MethodConnect
}

// filling is a Body's source while the body is filled.
type filling Body

// Read reads from the source, at most one byte more than allowed, and records how it ends.
func (b *filling) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), b.max-b.read+1)]
	n, err := b.source.Read(p)
	b.read += int64(n)
	if b.read > b.max {
		err = &http.MaxBytesError{Limit: b.max}
	}
	if err != nil {
		b.end = classify(err)
	}
	return n, err
}

// Attempt returns the body for the next attempt, from the start, and detaches that of the previous
// one. If it can't be read to the end, that is recorded in result: with status 400 or 408, or as an
// [http.MaxBytesError] if it is longer than allowed. No attempt may follow the last one.
func (b *Body) Attempt(result *attempt.Result, last bool) io.ReadCloser {
	r := &reader{body: b, result: result, last: last}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = r
	return r
}

// Close discards the record and detaches the last attempt's reader. It does not wait for a read
// that is in progress.
func (b *Body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.current = nil
	return b.record.Close()
}

// reader is one attempt's view of the body.
type reader struct {
	body   *Body
	result *attempt.Result
	last   bool

	offset int64 // guarded by body.mu
}

// Close detaches the reader, as the handler may.
func (r *reader) Close() error {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r.body.current == r {
		r.body.current = nil
	}
	return nil
}

// Read reads from the record, then from the client.
func (r *reader) Read(p []byte) (int, error) {
	b := r.body
	if !b.reading.TryLock() {
		// Another reader is receiving, perhaps of an earlier attempt with a slow client. Recorded
		// bytes are available without waiting for it.
		if n, done, err := r.readRecord(p); done {
			return n, err
		}
		b.reading.Lock()
	}
	defer b.reading.Unlock()
	if n, done, err := r.readRecord(p); done {
		return n, err
	}
	n, err := b.source.Read(p)
	return r.received(p[:n], err)
}

// readRecord completes a read without the source, if possible: done is true then.
func (r *reader) readRecord(p []byte) (n int, done bool, err error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.current != r:
		return 0, true, http.ErrBodyReadAfterClose
	case len(p) == 0:
		return 0, true, nil
	case r.offset < b.record.Len():
		n, err := b.record.ReadAt(p, r.offset)
		r.offset += int64(n)
		return n, true, b.failed(r, err)
	case b.end != nil:
		return 0, true, b.failed(r, b.end)
	}
	return 0, false, nil
}

// received records the bytes read from the source, and returns them if r is still the current
// reader.
func (r *reader) received(p []byte, err error) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read+int64(len(p)) > b.max {
		p = p[:b.max-b.read]
		err = &http.MaxBytesError{Limit: b.max}
	}
	b.read += int64(len(p))
	if !b.closed && !r.last && len(p) > 0 {
		if _, failure := b.record.Write(p); failure != nil {
			// An incomplete record can't be replayed, so the body ends here.
			b.end = failure
			p, err = nil, nil
		}
	}
	if b.end == nil && err != nil {
		b.end = classify(err)
	}
	if b.current != r {
		return 0, http.ErrBodyReadAfterClose
	}
	r.offset += int64(len(p))
	if b.end == nil {
		return len(p), nil
	}
	return len(p), b.failed(r, b.end)
}

// classify adds the status for an answer to an error of the source.
func classify(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return attempt.WithStatus(http.StatusRequestTimeout, err)
	}
	return attempt.WithStatus(http.StatusBadRequest, err)
}

// failed records err, if it is an error, as the outcome of r's attempt.
func (b *Body) failed(r *reader, err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		r.result.Fail(err)
	}
	return err
}
