package hold

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
	"github.com/pasteline/pasteline/internal/spill"
	"github.com/pasteline/pasteline/transaction"
)

var (
	// ErrTooLarge is returned (and recorded as the attempt's outcome) when more is written than may be held.
	ErrTooLarge = errors.New("response is larger than may be held back")
	// ErrOver is returned for everything that is tried after the attempt has ended.
	ErrOver = errors.New("response is used after its handler has returned")
)

// A Decider says whether the response may leave: nil, or the error because of which it may not. It is asked in the middle of
// the handler, at the first flush, and keeps to what it said.
type Decider interface {
	Decide() error
}

// Options are the bounds of what is held.
type Options struct {
	HighWater int64 // bytes of body kept in memory before a temporary file is used; see [spill.Buffer]
	Max       int64 // bytes of body that may be held at all; zero is no limit

	// Attempts, if not nil, is told to End when a flush lets the response through: there will be no further one, and nobody
	// should wait for a stream to end.
	Attempts *transaction.Attempts
}

type state uint8

const (
	holding  state = iota // nothing has left
	deciding              // nothing has left, nor will it by a flush: the Decider is being asked, or the handler has returned
	refused               // nothing will leave
	passing               // everything passes through
	hijacked              // the handler has the connection
	over                  // the attempt has ended
)

// A Writer is an [http.ResponseWriter] that holds its response back. It is safe for concurrent use by multiple goroutines,
// apart from the header map, as net/http's own.
type Writer struct {
	dst    http.ResponseWriter
	result *attempt.Result
	max    int64
	own    attempt.Context // result's place if the attempt begins here

	controlling sync.Mutex // guards uncontrolled; taken after mu
	mu          sync.Mutex // guards the rest

	uncontrolled bool // deadlines and the like are no longer the handler's to set
	state        state
	announced    bool  // sent has a Trailer field, or one that is a trailer
	status       int16 // zero until the first WriteHeader; small, as its neighbours, so that a Writer is 8 bytes smaller

	decider Decider
	last    *transaction.Attempts // Options.Attempts
	err     error                 // why nothing leaves or nothing more is taken; the result has an error then

	header http.Header // the handler's; nil until it asks for it
	sent   *Fields     // the header at the first WriteHeader, if there was one by then; nil again in the end
	length int64       // the Content-Length that the handler has set, or -1
	body   spill.Buffer
}

// Begin begins an attempt: it returns a Writer that will send the response to dst, and a context with the result for the
// attempt's outcome. A failure to hold (too large, a full disk) is recorded there; and while it has an error, by whomever,
// a flush returns that.
func Begin(ctx context.Context, dst http.ResponseWriter, options Options) (*Writer, context.Context) {
	h := new(Writer)
	return h, h.Begin(ctx, dst, options)
}

// Begin is the same with a Writer that whoever calls has made room for: h is new.
func (h *Writer) Begin(ctx context.Context, dst http.ResponseWriter, options Options) context.Context {
	h.own = attempt.Context{Context: ctx}
	h.begin(dst, &h.own.Result, options)
	return &h.own
}

// New returns a Writer for an attempt that has a result already.
func New(dst http.ResponseWriter, result *attempt.Result, options Options) *Writer {
	h := new(Writer)
	h.begin(dst, result, options)
	return h
}

func (h *Writer) begin(dst http.ResponseWriter, result *attempt.Result, options Options) {
	h.dst, h.result, h.max, h.last, h.length = dst, result, options.Max, options.Attempts, -1
	h.body.HighWater = options.HighWater
}

// Result returns how the attempt ended, as far as that is recorded.
func (h *Writer) Result() *attempt.Result { return h.result }

// SetDecider makes d the one that is asked when the handler flushes or hijacks.
func (h *Writer) SetDecider(d Decider) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.decider = d
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
		if h.status != 0 && h.state != over { // the status came before, so what counts is what outer filters have set
			h.keep()
		}
	}
	return h.header
}

// WriteHeader sets the status, and the header as it is now. The first one counts, unless a later one says that the server
// has failed (with 500 or more) while nothing has left.
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
		if h.state == holding && h.status < http.StatusInternalServerError && status >= http.StatusInternalServerError {
			h.status = 0
		}
		h.freeze(status)
	}
}

// freeze fixes status and header, unless they are.
func (h *Writer) freeze(status int) {
	if h.status != 0 {
		return
	}
	h.status, h.length = int16(status), -1 //nolint:gosec // it has three digits
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

// keep takes down the header as it is.
func (h *Writer) keep() {
	if h.sent != nil {
		h.sent.forget()
	}
	h.sent, h.announced = take(h.header), false
	for _, f := range h.sent.list() {
		h.announced = h.announced || f.name == "Trailer" || strings.HasPrefix(f.name, http.TrailerPrefix)
	}
}

// Write holds p, or passes it on.
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

// WriteString holds s, or passes it on.
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

// take says whether n more bytes can be written.
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
	case h.max > 0 && size > h.max:
		return h.fail(fmt.Errorf("%w (%d bytes)", ErrTooLarge, h.max))
	}
	return nil
}

func bodyAllowed(status int16) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// fail makes err, if it is one, the end of what can be held.
func (h *Writer) fail(err error) error {
	if err != nil {
		h.err = err
		h.result.Fail(err)
		_ = h.body.Close() // the first error is what counts
	}
	return err
}

// Status returns the status as it is so far; that of a handler which has not said anything is 200.
func (h *Writer) Status() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status == 0 {
		return http.StatusOK
	}
	return int(h.status)
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

// Sent reports whether the response has left, in whole or in part (or the connection is the handler's): the decision was
// taken.
func (h *Writer) Sent() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == passing || h.state == hijacked
}

// Begun is Sent, by the name that [sent.Begun] looks for.
func (h *Writer) Begun() bool { return h.Sent() }

// Late is what a log says of an attempt that failed although its response has been Sent.
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

// Cut ends an attempt that failed although its response has been Sent: it panics with [http.ErrAbortHandler], which breaks the
// framing, so that the client does not take the part for the whole. If the handler has the connection, that is its own to end, and
// Cut returns.
func (h *Writer) Cut() {
	over := h.isHijacked()
	h.Drop()
	if !over {
		panic(http.ErrAbortHandler)
	}
}

// Returned says that the handler has returned, so that the decision is the owner's: a flush by a hook, or by a goroutine
// that is left over, does not ask for it any more, and has what is held sent with the rest.
func (h *Writer) Returned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = nil
	if h.state == holding {
		h.state = deciding
	}
}

// Drop ends the attempt: what is held is forgotten.
func (h *Writer) Drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.end() // nobody will miss the file
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

// Release ends the attempt: what is held is sent, and if it was sent by a flush already, the trailers are.
// The error is the server's, in general because the client has gone.
func (h *Writer) Release() error {
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

// smallBody is what the server itself gives a Content-Length (its buffer is of that size).
const smallBody = 2 << 10

// send hands status, header and body to the server. The body is complete unless the handler flushes, and then the trailers are, too.
func (h *Writer) send(complete bool) error {
	if h.err != nil {
		return h.err
	}
	out := h.dst.Header()
	same := true // as it was sent is the header still, so it has no trailers unless they were announced
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
			if strings.HasPrefix(name, http.TrailerPrefix) { // the server must know before it decides how to send the body
				out[name] = values
			}
		}
	}
	if complete && h.body.Len() > smallBody && h.length < 0 && !trailers && len(out["Transfer-Encoding"]) == 0 {
		out["Content-Length"] = []string{strconv.FormatInt(h.body.Len(), 10)}
	}
	h.dst.WriteHeader(int(h.status))
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

// trailers hands over what the handler has set as trailers since its WriteHeader, and takes back what it has removed.
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

// isTrailer reports whether a field is a trailer, by its prefix or because the handler has announced it in its header.
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
