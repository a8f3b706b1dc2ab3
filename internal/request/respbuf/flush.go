package respbuf

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/internal/request/spill"
)

// Flush is [Writer.FlushError] without the error.
func (h *Writer) Flush() { _ = h.FlushError() }

// FlushError calls the Committer on the first call. If the response may be sent, the buffer is
// sent, and everything from then on passes through. If not, it returns the error, and nothing was
// sent. If the server can't flush, it returns an error before a decision.
func (h *Writer) FlushError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.state {
	case holding:
		if !can[http.Flusher](h.dst) && !can[interface{ FlushError() error }](h.dst) {
			return fmt.Errorf("flush: %w", http.ErrNotSupported)
		}
		if err := h.open(http.StatusOK, false); err != nil {
			return err
		}
		err := h.send(false)
		_ = h.body.Close() // it was read already
		if err != nil {
			return err
		}
	case deciding: // by a hook, or by another goroutine: the buffer is sent after the decision
		return nil
	case passing:
	default:
		return h.closed()
	}
	err := http.NewResponseController(h.dst).Flush()
	if begun, known := sent.Begun(h.dst); err != nil && known && !begun {
		return h.refuse(err) // by a Writer outside, which is asked by its own Committer
	}
	return err
}

// Hijack calls the Committer as a flush does, then takes over the connection. If the server can't
// hijack (as for HTTP/2), it returns an error before a decision.
func (h *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !can[http.Hijacker](h.dst) {
		return nil, nil, fmt.Errorf("hijack: %w", http.ErrNotSupported)
	}
	silent := false
	switch h.state {
	case holding:
		silent = h.status == 0 // the handler will write its header to the connection
		if err := h.open(http.StatusSwitchingProtocols, true); err != nil {
			return nil, nil, err
		}
		if silent {
			h.status = 0
		}
		if err := h.send(false); err != nil {
			return nil, nil, err
		}
		_ = h.body.Close() // it was read already
	case deciding:
		return nil, nil, fmt.Errorf("hijack: the response is being decided: %w",
			http.ErrNotSupported)
	case passing:
	default:
		return nil, nil, h.closed()
	}
	conn, buffered, err := http.NewResponseController(h.dst).Hijack()
	switch {
	case err == nil:
		h.state = hijacked
		h.header = h.dst.Header().Clone() // with the fields that outer filters have just added
	case silent:
		h.state = deciding // nothing has left, and the handler may still answer
	}
	return conn, buffered, err
}

// open fixes the header and calls the Committer. If it returns nil, the caller may send.
func (h *Writer) open(status int, hijack bool) error {
	if h.err != nil {
		return h.err
	}
	h.freeze(status)
	h.state = deciding
	defer func() {
		if h.state == deciding { // neither yes nor no: the Committer panics
			_ = h.refuse(http.ErrAbortHandler)
		}
	}()
	err := h.ask()
	switch {
	case h.state == over:
		return ErrOver
	case err != nil:
		return h.refuse(err)
	case h.err != nil: // more was written meanwhile than can be held
		return h.refuse(h.err)
	}
	h.state = passing
	if h.last != nil {
		h.last.End()
	}
	if h.released != nil {
		h.released(hijack)
	}
	return nil
}

// ask calls the Committer without the lock, as a hook of the commit may use the response.
func (h *Writer) ask() error {
	committer := h.committer
	h.mu.Unlock()
	defer h.mu.Lock()
	if err := h.result.Err(); err != nil {
		return err
	}
	if committer == nil {
		return nil
	}
	return committer.Commit()
}

// refuse makes the Writer refuse to send anything from now on.
func (h *Writer) refuse(err error) error {
	h.state, h.err = refused, fmt.Errorf("response is not sent: %w", err)
	h.result.Fail(err)
	_ = h.body.Close() // nothing of it will be read
	return h.err
}

// closed returns the error of the states in which a flush is impossible.
func (h *Writer) closed() error {
	switch h.state {
	case hijacked:
		return http.ErrHijacked
	case over:
		return ErrOver
	default:
		return h.err
	}
}

// can reports whether w, below all wrappers, has the methods of T. The methods of the wrappers
// don't count, as they only pass on the call.
func can[T any](w http.ResponseWriter) bool {
	for {
		switch wrapper := w.(type) {
		case *Writer:
			w = wrapper.dst
		case interface{ Unwrap() http.ResponseWriter }:
			w = wrapper.Unwrap()
		default:
			_, ok := w.(T)
			return ok
		}
	}
}

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// ReadFrom buffers the contents of src, or passes src on so that the server can send it
// efficiently. Of a file it keeps a reference instead of the contents, see [spill.Buffer].
func (h *Writer) ReadFrom(src io.Reader) (int64, error) {
	if h.isPassing() {
		return io.Copy(h.dst, src)
	}
	if n := h.refer(src); n > 0 {
		return n, nil
	}
	// The struct hides ReadFrom, which io.Copy would call recursively.
	buffer, ok := copyBuffers.Get().(*[32 << 10]byte)
	if !ok {
		panic("respbuf: the pool holds another type")
	}
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{h}, src, buffer[:])
}

// refer keeps a reference to the file src, or to the limited part of it, and returns its size, or 0
// if the contents have to be buffered.
func (h *Writer) refer(src io.Reader) int64 {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	file, ok := limited.R.(spill.File)
	if !ok {
		return 0
	}
	size := min(limited.N, spill.Rest(file))
	h.mu.Lock()
	defer h.mu.Unlock()
	if size <= 0 || h.state != holding && h.state != deciding || h.err != nil {
		return 0
	}
	h.freeze(http.StatusOK)
	if !bodyAllowed(h.status) || h.length >= 0 && h.body.Len()+size > h.length ||
		!h.body.AppendFile(file, size) {
		return 0
	}
	limited.N -= size
	return size
}

func (h *Writer) isPassing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == passing
}

// SetReadDeadline sets the connection's deadline at once, as
// [http.ResponseController.SetReadDeadline].
func (h *Writer) SetReadDeadline(deadline time.Time) error {
	return h.control(func(c *http.ResponseController) error { return c.SetReadDeadline(deadline) })
}

// SetWriteDeadline sets the connection's deadline at once, as
// [http.ResponseController.SetWriteDeadline].
func (h *Writer) SetWriteDeadline(deadline time.Time) error {
	return h.control(func(c *http.ResponseController) error { return c.SetWriteDeadline(deadline) })
}

// EnableFullDuplex allows reading the request while the response is written, as
// [http.ResponseController.EnableFullDuplex].
func (h *Writer) EnableFullDuplex() error {
	return h.control((*http.ResponseController).EnableFullDuplex)
}

func (h *Writer) control(f func(*http.ResponseController) error) error {
	h.controlling.Lock() // and not mu, which the very write may hold that a deadline shall end
	defer h.controlling.Unlock()
	if h.uncontrolled {
		return ErrOver
	}
	return f(http.NewResponseController(h.dst))
}

var (
	_ http.Flusher    = (*Writer)(nil)
	_ http.Hijacker   = (*Writer)(nil)
	_ io.ReaderFrom   = (*Writer)(nil)
	_ io.StringWriter = (*Writer)(nil)
)
