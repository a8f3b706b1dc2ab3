package respbuf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/spill"
	"github.com/pasteline/pasteline/transaction"
)

var (
	// ErrTooLarge is returned (and recorded as the attempt's outcome) when more is written than may
	// be buffered.
	ErrTooLarge = errors.New("response is larger than its buffer may be")
	// ErrOver is returned by every call after the attempt has ended.
	ErrOver = errors.New("response is used after its handler has returned")
)

// A Committer decides whether the response may be sent: nil, or the error that forbids it. It is
// called while the handler runs, at the first flush, and must not change its decision.
type Committer interface {
	Commit() error
}

// Options are the limits of the buffer.
type Options struct {
	// bytes of body kept in memory before a temporary file is used; see [spill.Buffer]
	HighWater int64
	// bytes of body that may be buffered; zero means [spill.DefaultMax], negative no limit
	Max int64

	// Spooled, if not nil, is called when a temporary file becomes necessary; see [spill.Buffer].
	Spooled func(bytes int64)
	// Released, if not nil, is called when a flush or hijack lets the response through.
	Released func(hijacked bool)

	// Attempts, if not nil, is ended when a flush lets the response through: there will be no
	// further attempt, and other requests must not wait for the end of a stream.
	Attempts *transaction.Attempts
}

type state uint8

const (
	holding state = iota // nothing has left
	// buffering; Flush is ignored because the decision is pending or the handler has returned
	deciding
	refused  // nothing will be sent
	passing  // everything passes through
	hijacked // the handler has the connection
	over     // the attempt has ended
)

// A Writer is an [http.ResponseWriter] that buffers its response. It is safe for concurrent use by
// multiple goroutines, except for the header map, as net/http's own.
type Writer struct {
	dst    http.ResponseWriter
	result *attempt.Result
	max    int64
	own    attempt.Context // holds result if the attempt begins here

	controlling sync.Mutex // guards uncontrolled; taken after mu
	mu          sync.Mutex // guards the rest

	uncontrolled bool // the handler can no longer set deadlines and the like
	state        state
	announced    bool // sent has a Trailer field, or one that is a trailer
	status       int  // zero until the first WriteHeader

	committer Committer
	last      *transaction.Attempts // Options.Attempts
	released  func(hijacked bool)   // Options.Released
	err       error                 // why writes are refused; the result has an error then

	header http.Header // the handler's; nil until it asks for it
	// the header at the first WriteHeader, if there was one by then; nil again in the end
	sent   *Fields
	length int64 // the Content-Length that the handler has set, or -1
	body   spill.Buffer
}

// Begin begins an attempt: it returns a Writer that will send the response to dst, and a context
// with the attempt's result. A failure to buffer the response (too large, a full disk) is recorded
// there. While the result has an error, from any source, a flush returns it.
func Begin(
	ctx context.Context, dst http.ResponseWriter, options Options,
) (*Writer, context.Context) {
	h := new(Writer)
	return h, h.Begin(ctx, dst, options)
}

// Begin is the function Begin for a Writer that the caller has allocated, which must be new.
func (h *Writer) Begin(
	ctx context.Context, dst http.ResponseWriter, options Options,
) context.Context {
	h.own = attempt.Context{Context: ctx}
	h.begin(dst, &h.own.Result, options)
	return &h.own
}

// New returns a Writer for an attempt that already has a result.
func New(dst http.ResponseWriter, result *attempt.Result, options Options) *Writer {
	h := new(Writer)
	h.begin(dst, result, options)
	return h
}

func (h *Writer) begin(dst http.ResponseWriter, result *attempt.Result, options Options) {
	h.dst, h.result, h.max = dst, result, spill.Limit(options.Max)
	h.last, h.length = options.Attempts, -1
	h.body.HighWater, h.body.Spooled = options.HighWater, options.Spooled
	h.released = options.Released
}

// Result returns the result of the attempt.
func (h *Writer) Result() *attempt.Result { return h.result }

// SetCommitter sets the Committer that is called when the handler flushes or hijacks.
func (h *Writer) SetCommitter(d Committer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.committer = d
}

// Header returns the header that will be sent. It starts as a copy of what outer filters have set.
func (h *Writer) Header() http.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.header == nil {
		if h.state == over { // the outer map belongs to others by now
			h.header = http.Header{}
		} else if outer := h.dst.Header(); len(outer) > 0 {
			h.header = outer.Clone()
		} else {
			h.header = http.Header{}
		}
		// the status was set first, so only the fields of outer filters count
		if h.status != 0 && h.state != over {
			h.keep()
		}
	}
	return h.header
}

// WriteHeader sets the status, and fixes the header. The first call counts, unless a later one
// reports a failure of the server (500 or more) before anything was sent.
func (h *Writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.state {
	case passing:
		h.dst.WriteHeader(status)
	case holding, deciding:
		if status < 200 && status != http.StatusSwitchingProtocols {
			return
		}
		if h.state == holding && h.status < http.StatusInternalServerError &&
			status >= http.StatusInternalServerError {
			h.status = 0
		}
		h.freeze(status)
	}
}

// freeze fixes status and header at the first call.
func (h *Writer) freeze(status int) {
	if h.status != 0 {
		return
	}
	h.status, h.length = status, -1
	if h.header == nil {
		return
	}
	h.keep()
	if values := h.header["Content-Length"]; len(values) > 0 {
		if length, err := strconv.ParseInt(values[0], 10, 64); err == nil && length >= 0 {
			h.length = length
		}
	}
}

// keep takes a snapshot of the header.
func (h *Writer) keep() {
	if h.sent != nil {
		h.sent.forget()
	}
	h.sent, h.announced = take(h.header), false
	for _, f := range h.sent.list() {
		h.announced = h.announced || f.name == "Trailer" ||
			strings.HasPrefix(f.name, http.TrailerPrefix)
	}
}

// Write buffers p, or passes it on.
func (h *Writer) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.take(len(p)); err != nil {
		return 0, err
	}
	if h.state == passing {
		return h.dst.Write(p)
	}
	n, err := h.body.Write(p)
	return n, h.fail(err)
}

// WriteString buffers s, or passes it on.
func (h *Writer) WriteString(s string) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.take(len(s)); err != nil {
		return 0, err
	}
	if h.state == passing {
		if w, ok := h.dst.(interface{ WriteString(string) (int, error) }); ok {
			return w.WriteString(s)
		}
		return h.dst.Write([]byte(s))
	}
	n, err := h.body.WriteString(s)
	return n, h.fail(err)
}

// take checks whether n more bytes can be written.
func (h *Writer) take(n int) error {
	switch h.state {
	case passing:
		return nil
	case hijacked:
		return http.ErrHijacked
	case over:
		return ErrOver
	}
	if h.err != nil {
		return h.err
	}
	h.freeze(http.StatusOK)
	size := h.body.Len() + int64(n)
	switch {
	case n == 0:
		return nil
	case !bodyAllowed(h.status):
		return http.ErrBodyNotAllowed
	case h.length >= 0 && size > h.length:
		h.length = 0 // nothing more is taken, as by net/http
		return http.ErrContentLength
	case size > h.max:
		return h.fail(fmt.Errorf("%w (%d bytes)", ErrTooLarge, h.max))
	}
	return nil
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// fail records err, if it is not nil; nothing more is buffered then.
func (h *Writer) fail(err error) error {
	if err != nil {
		h.err = err
		h.result.Fail(err)
		_ = h.body.Close() // the first error is what counts
	}
	return err
}

// Status returns the current status; it is 200 if the handler has not set one.
func (h *Writer) Status() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status == 0 {
		return http.StatusOK
	}
	return h.status
}

// SentHeader returns the header as it is so far: the one that will be sent once the handler has
// called WriteHeader. It must not be changed.
func (h *Writer) SentHeader() http.Header {
	header := h.Header()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status == 0 {
		return header
	}
	if h.sent == nil {
		return http.Header{}
	}
	return h.sent.Header()
}

// Sent reports whether a part of the response has been sent, or the connection is the handler's:
// the decision was made.
func (h *Writer) Sent() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == passing || h.state == hijacked
}

// Begun is Sent, by the name that [sent.Begun] looks for.
func (h *Writer) Begun() bool { return h.Sent() }

// Late returns the log message for an attempt that failed although its response has been Sent.
func (h *Writer) Late() string {
	if h.isHijacked() {
		return "request failed after its connection was taken over"
	}
	return "request failed, its response was cut"
}

func (h *Writer) isHijacked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == hijacked
}

// Cut ends an attempt that failed although its response has been Sent: it panics with
// [http.ErrAbortHandler], which breaks the framing, so that the client does not take the part for
// the whole. If the handler has hijacked the connection, Cut returns, as the handler has to close
// it.
func (h *Writer) Cut() {
	over := h.isHijacked()
	h.Discard()
	if !over {
		panic(http.ErrAbortHandler)
	}
}

// Returned marks the handler as returned; from now on only the owner may release the response. A
// flush by a hook, or by a goroutine of the handler, is ignored, and its output is sent with the
// rest.
func (h *Writer) Returned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = nil
	if h.state == holding {
		h.state = deciding
	}
}

// Discard ends the attempt and discards the buffer.
func (h *Writer) Discard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.end() // the temporary file is not needed any more
}

func (h *Writer) end() error {
	if h.state == over {
		return nil
	}
	h.state = over
	if h.sent != nil {
		h.sent.forget()
		h.sent = nil
	}
	h.controlling.Lock()
	h.uncontrolled = true
	h.controlling.Unlock()
	return h.body.Close()
}

// Send ends the attempt: it sends the buffer, or only the trailers if a flush has sent the
// response. The error is the server's, usually because the client has gone.
func (h *Writer) Send() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	switch h.state {
	case holding, deciding:
		err = h.send(true)
	case passing:
		h.trailers()
	case refused:
		err = h.err
	}
	return errors.Join(err, h.end())
}

// smallBody is the size up to which the server sets Content-Length itself.
const smallBody = 2 << 10

// send passes status, header and body to the server. If complete is false, the handler flushes: the
// body, and so the trailers, are incomplete.
func (h *Writer) send(complete bool) error {
	if h.err != nil {
		return h.err
	}
	out := h.dst.Header()
	// the header is still the one that was fixed: it has no trailers that were not announced
	same := true
	switch {
	case h.header == nil:
	case h.status == 0:
		clear(out)
		maps.Copy(out, h.header)
	default:
		clear(out)
		same = h.sent.copyTo(out, h.header)
	}
	if h.status == 0 {
		return nil // the handler said nothing, so we don't either
	}
	trailers := complete && (h.announced || !same && hasTrailer(h.header))
	if trailers {
		for name, values := range h.header {
			// the server must know before it decides how to send the body
			if strings.HasPrefix(name, http.TrailerPrefix) {
				out[name] = values
			}
		}
	}
	if complete && h.body.Len() > smallBody && h.length < 0 && !trailers &&
		len(out["Transfer-Encoding"]) == 0 {
		out["Content-Length"] = []string{strconv.FormatInt(h.body.Len(), 10)}
	}
	h.dst.WriteHeader(h.status)
	var err error
	if h.body.Len() > 0 {
		_, err = h.body.WriteTo(h.dst)
	}
	if trailers {
		h.trailers()
	}
	return err
}

// hasTrailer reports whether a header has a field that is a trailer by its prefix.
func hasTrailer(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// trailers passes on the trailers that the handler has set since its WriteHeader, and removes those
// that it has deleted.
func (h *Writer) trailers() {
	if h.status == 0 || h.header == nil {
		return
	}
	out := h.dst.Header()
	if h.announced {
		maps.DeleteFunc(out, func(name string, _ []string) bool { return h.isTrailer(name) })
	}
	for name, values := range h.header {
		if h.isTrailer(name) {
			out[name] = values
		}
	}
}

// isTrailer reports whether a field is a trailer, by its prefix or because the handler has
// announced it in its header.
func (h *Writer) isTrailer(name string) bool {
	if strings.HasPrefix(name, http.TrailerPrefix) {
		return true
	}
	if !h.announced {
		return false
	}
	for _, f := range h.sent.list() {
		if f.name != "Trailer" {
			continue
		}
		for _, value := range f.values() {
			for announced := range strings.SplitSeq(value, ",") {
				if http.CanonicalHeaderKey(strings.TrimSpace(announced)) == name {
					return true
				}
			}
		}
	}
	return false
}
