// Package replay lets a request body be read again from its start.
//
// A [Body] records what an attempt's handler reads, while it reads. The next attempt's [Body.Attempt] gets the same
// bytes from the record, and goes on with the client's where that ends. Nothing is read before the handler asks for it, so
// that "Expect: 100-continue" works, and a handler that refuses a large upload never receives it. The record is in
// memory up to a high-water mark, then in a temporary file; the last attempt is not recorded any more.
//
// # Caveats
//
// A body that can't be read to its end has failed the attempt, even if the handler does not care: what it did was done
// with half of what the client meant. What the handler never asks for is not missed.
//
// A goroutine that is left over from an earlier attempt can't take bytes from a later one: its reader is detached, and what
// it was just receiving is recorded for the others.
package replay

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/pasteline/pasteline/internal/spill"
	"github.com/pasteline/pasteline/outcome"
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

// Attempt returns the body for the next attempt, from the start, and detaches that of the attempt before. If it can't be
// read to the end, that is recorded in slot: with status 400, or as an [http.MaxBytesError] if it is longer than allowed.
// The last attempt's may not be followed by another.
func (b *Body) Attempt(slot *outcome.Slot, last bool) io.ReadCloser {
	r := &reader{body: b, slot: slot, last: last}
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
	body *Body
	slot *outcome.Slot
	last bool

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
	return outcome.WithStatus(http.StatusBadRequest, err)
}

// failed records err, if it is one, as the outcome of r's attempt.
func (b *Body) failed(r *reader, err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		r.slot.Fail(err)
	}
	return err
}
