package attempt

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/pasteline/pasteline/internal/request/sent"
)

// A PanicError is the error with which [Respond] answers a panic of a handler.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // of the goroutine, as text
}

// Error returns the value of the panic, without the stack.
func (p *PanicError) Error() string { return fmt.Sprintf("a handler panicked: %v", p.Value) }

// Unwrap returns the value of the panic, if that is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// HTTPStatus returns 500, whatever the value of the panic is.
func (*PanicError) HTTPStatus() int { return http.StatusInternalServerError }

// PublicText returns "": the value of the panic is not for clients.
func (*PanicError) PublicText() string { return "" }

// AnswerPanic logs a panic of a handler, with its stack, and answers the request; value is the
// result of recover. It must be called by the deferred function that recovers. A response that has
// begun is cut. If value is [http.ErrAbortHandler], the panic goes on without a log.
func AnswerPanic(logger *slog.Logger, w *sent.Writer, r *http.Request, value any) {
	if value == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as in net/http
		panic(http.ErrAbortHandler)
	}
	p := &PanicError{Value: value, Stack: debug.Stack()}
	FailureLogger(logger).LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		slog.Any("panic", value), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Bool("cut", w.Begun()),
		slog.String("stack", string(p.Stack)))
	// Fields that the handler, or filters around it, set for their own answer don't belong to this
	// one.
	header := w.Header()
	header.Del("Content-Encoding")
	header.Del("Set-Cookie")
	Respond(w, r, p) // or cuts the response
}
