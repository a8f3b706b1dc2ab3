package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/sent"
)

// AnswerPanics returns a handler that answers a panic of h with 500, and logs it once, with its stack; a nil logger discards. If the
// response has begun by then it is cut, as by [http.ErrAbortHandler]; a panic with that value is passed on as it is, without a word.
//
// Every [Server] has this around its handler. It is for programs that serve in another way, whose net/http would end the connection without
// an answer.
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

// answerPanic is to be deferred.
func answerPanic(logger *slog.Logger, w *sent.Writer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic's value, which net/http compares in this way, too
		panic(http.ErrAbortHandler)
	}
	attempt.FailureLogger(logger).LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		slog.Any("panic", p), slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Bool("cut", w.Begun()),
		slog.String("stack", string(debug.Stack())))
	// What the handler, and those around it, have set for an answer of theirs is no part of this one.
	header := w.Header()
	header.Del("Content-Encoding")
	header.Del("Set-Cookie")
	attempt.Respond(w, r, fmt.Errorf("a handler panicked: %v", p)) // or cuts
}
