// Package replay lets a request body be read again from its start.
//
// [Body.Fill] receives all of it before the first attempt, so that no attempt, nor what it holds, waits for the client. Without
// that, a [Body] records what an attempt's handler reads, while it reads: the next attempt's [Body.Attempt] gets the same
// bytes from the record, and goes on with the client's where that ends; nothing is read before the handler asks for it, and
// the last attempt is not recorded any more. The record is in memory up to a high-water mark, then in a temporary file.
//
// # Caveats
//
// A body that can't be read to its end has failed the request, or the attempt that reads it, even if the handler does not care:
// what it did was done with half of what the client meant. Without Fill, what the handler never asks for is not missed.
//
// A goroutine that is left over from an earlier attempt can't take bytes from a later one: its reader is detached, and what
// it was just receiving is recorded for the others.
package replay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/spill"
)

// Options are the bounds of what is recorded.
type Options struct {
	HighWater int64 // bytes kept in memory before a temporary file is used; see [spill.Buffer]
	Max       int64 // bytes a body may have; zero is no limit
}

// A Body is a request body that can be read once an attempt. It is safe for concurrent use by multiple goroutines.
type Body struct {
	source io.ReadCloser
	max    int64

	reading sync.Mutex // held while reading from the source; taken before mu

	mu      sync.Mutex // guards the rest
	current *reader
	record  spill.Buffer
	read    int64 // bytes received from the source; more than are recorded in the last attempt
	end     error // how the source ended: io.EOF, or what is wrong with it
	closed  bool
}

// New returns a Body that reads from source, which it never closes: that is for the server.
func New(source io.ReadCloser, options Options) *Body {
	b := &Body{source: source, max: options.Max}
	b.record.HighWater = options.HighWater
	return b
}

// Fill reads the source to its end, and is called before the first Attempt: all attempts then read what is recorded. The error, if
// the end was no orderly one, has the status to answer with: 413, as an [http.MaxBytesError], if the body is longer than
// allowed, 408 if the server has given the client no more time, 499 if ctx is cancelled because the client has gone, else 400. If what
// was read can't be kept, it has none.
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

// isGone reports whether err, with the context cancelled, says that the client has gone. (Net/http cancels that of HTTP/1.1 with every error
// of a connection.) A client that has closed its half only may yet read why.
func isGone(err error) bool {
	return attempt.Status(err) == http.StatusBadRequest && !errors.Is(err, io.ErrUnexpectedEOF)
}

// Waits reports whether the body of r has to be waited for: there is one, and r is no tunnel, whose body ends with the answer.
func Waits(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.Method != http.MethodConnect
}

// filling is a Body's source while the body is filled.
type filling Body

// Read reads from the source, at most one byte more than allowed, and remembers how it ends.
func (b *filling) Read(p []byte) (int, error) {
	if b.max > 0 {
		p = p[:min(int64(len(p)), b.max-b.read+1)]
	}
	n, err := b.source.Read(p)
	b.read += int64(n)
	if b.max > 0 && b.read > b.max {
		err = &http.MaxBytesError{Limit: b.max}
	}
	if err != nil {
		b.end = classify(err)
	}
	return n, err
}

// Attempt returns the body for the next attempt, from the start, and detaches that of the attempt before. If it can't be
// read to the end, that is recorded in result: with status 400 or 408, or as an [http.MaxBytesError] if it is longer than allowed.
// The last attempt's may not be followed by another.
func (b *Body) Attempt(result *attempt.Result, last bool) io.ReadCloser {
	r := &reader{body: b, result: result, last: last}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = r
	return r
}

// Close forgets the record and detaches the last attempt's reader. It does not wait for one that is just receiving.
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

// Read reads what is recorded, then what the client sends.
func (r *reader) Read(p []byte) (int, error) {
	b := r.body
	if !b.reading.TryLock() {
		// Somebody is receiving: perhaps what an earlier attempt has left behind, for a slow client. What is recorded does not wait.
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

// readRecord answers a read without the source, if it can: it is done.
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

// received takes over what the source gave, and gives to r what is r's.
func (r *reader) received(p []byte, err error) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.max > 0 && b.read+int64(len(p)) > b.max {
		p = p[:b.max-b.read]
		err = &http.MaxBytesError{Limit: b.max}
	}
	b.read += int64(len(p))
	if !b.closed && !r.last && len(p) > 0 {
		if _, failure := b.record.Write(p); failure != nil {
			// What can't be recorded can't be replayed: better no attempt than a wrong one.
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

// classify gives an error of the source the status that it is answered with.
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

// failed records err, if it is one, as the outcome of r's attempt.
func (b *Body) failed(r *reader, err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		r.result.Fail(err)
	}
	return err
}
