package server

import (
	"log/slog"
	"net/http"

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
	if value := recover(); value != nil {
		attempt.AnswerPanic(logger, w, r, value)
	}
}
