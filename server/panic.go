package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/sent"
)

// AnswerPanics returns a handler that answers a panic of h with 500, and logs it once, with its
// stack; a nil logger discards it. If the response has begun, it is cut, as by
// [http.ErrAbortHandler]. A panic with that value is passed on without logging.
//
// Every [Server] wraps its handler this way. The function is for programs with another server:
// net/http alone would close the connection without an answer.
func AnswerPanics(h http.Handler, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &sent.Writer{ResponseWriter: w}
		defer answerPanic(logger, noted, r)
		h.ServeHTTP(noted, r)
	})
}

// answerPanic must be deferred.
func answerPanic(logger *slog.Logger, w *sent.Writer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as in net/http
		panic(http.ErrAbortHandler)
	}
	attempt.FailureLogger(logger).LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		slog.Any("panic", p), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Bool("cut", w.Begun()),
		slog.String("stack", string(debug.Stack())))
	// Fields that the handler, or filters around it, set for their own answer don't belong to this
	// one.
	header := w.Header()
	header.Del("Content-Encoding")
	header.Del("Set-Cookie")
	attempt.Respond(w, r, fmt.Errorf("a handler panicked: %v", p)) // or cuts the response
}
