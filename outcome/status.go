package outcome

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/pasteline/pasteline/internal/sent"
	"github.com/pasteline/pasteline/transaction"
)

// StatusClientClosedRequest is the status of a request whose client went away before its work was done. Nobody is there
// to read it, unless the client closed only its own half of the connection; access logs are. (The number is nginx's.)
const StatusClientClosedRequest = 499

type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string   { return e.err.Error() }
func (e *statusError) Unwrap() error   { return e.err }
func (e *statusError) HTTPStatus() int { return e.status }

// WithStatus gives err the HTTP status that it is answered with, from 400 to 599. It returns nil if err is nil.
func WithStatus(status int, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{status, err}
}

// Status returns the HTTP status that err is answered with: what the first error in its tree with a method
// HTTPStatus() int says (as those of [WithStatus] do), 503 if it is transient or a time limit has passed
// ([context.DeadlineExceeded]), 413 for an [http.MaxBytesError], else 500.
// A status below 400 or above 599 counts as 500: a failure is never answered as a success.
func Status(err error) int {
	if own, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err); ok {
		if status := own.HTTPStatus(); status >= 400 && status <= 599 {
			return status
		}
		return http.StatusInternalServerError
	}
	if transaction.IsTransient(err) {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// statusOf is Status, except that an error which is just the news that the client has gone is not the server's.
func statusOf(r *http.Request, err error) int {
	status := Status(err)
	if status == http.StatusInternalServerError && errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return StatusClientClosedRequest
	}
	return status
}

// Log reports the failure of a request, with its method, path and status; whoever calls [Respond] calls it once. What the server
// has to answer for is an error, a conflict that persisted a warning, the client's faults are information. A nil logger discards.
func Log(logger *slog.Logger, message string, r *http.Request, err error, attrs ...slog.Attr) {
	if logger == nil {
		return
	}
	status := statusOf(r, err)
	level := slog.LevelError
	switch {
	case status < http.StatusInternalServerError:
		level = slog.LevelInfo
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	}
	if level == slog.LevelError {
		logger = FailureLogger(logger)
	}
	attrs = append([]slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status), slog.Any("error", err),
	}, attrs...)
	logger.LogAttrs(r.Context(), level, message, attrs...) //nolint:sloglint // the message is the caller's constant
}

// FailureLogger returns the logger for reports that the server has failed a request: a handler with a method Failures says itself where
// they go, which is how pyramid_exclog's logger in an .ini file has them. Every other logger is returned as it is.
func FailureLogger(logger *slog.Logger) *slog.Logger {
	if h, ok := logger.Handler().(interface{ Failures() slog.Handler }); ok {
		return slog.New(h.Failures())
	}
	return logger
}

// logToServer reports a failure that no filter reports, to the log that the server has for faults of its own.
func logToServer(r *http.Request, w *sent.Writer, err error) {
	what := "a request failed"
	switch status := statusOf(r, err); {
	case w.Hijacked:
		what = "a request failed after its connection was taken over"
	case w.Begun():
		what = "a response was cut"
	case status < http.StatusInternalServerError:
		return
	}
	printf := log.Printf
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ErrorLog != nil {
		printf = server.ErrorLog.Printf
	}
	printf("http: %s: %s %q: %q", what, r.Method, r.URL.Path, err.Error())
}

// retryAfter is how many seconds a client should wait after a conflict that persisted: the crowd that caused it is
// usually gone in the next second.
const retryAfter = "1"

// Respond answers with err's [Status] and the status's standard text, or the PublicText() string of an error that has it;
// what err says otherwise may be secret and is for the log.
// A transient error is answered with Retry-After. Header fields which describe a body that was given up are removed, but for
// Content-Encoding, which may be that of a filter outside that compresses whatever comes: w's header should be as it was before
// the failed handler.
//
// If a part of another response has been written to w already, as far as that is known (by this project's servers and filters),
// Respond cuts it: it panics with [http.ErrAbortHandler], so that the framing of the response is broken and the client notices.
func Respond(w http.ResponseWriter, r *http.Request, err error) {
	if begun, _ := sent.Begun(w); begun {
		panic(http.ErrAbortHandler)
	}
	status := statusOf(r, err)
	header := w.Header()
	for _, name := range [...]string{
		"Accept-Ranges", "Content-Disposition", "Content-Language", "Content-Length", "Content-Location",
		"Content-Range", "Etag", "Expires", "Last-Modified", "Retry-After", "Trailer", "Transfer-Encoding",
	} {
		header.Del(name)
	}
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable && transaction.IsTransient(err) {
		header.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	text := http.StatusText(status)
	if text == "" {
		text = "Status " + strconv.Itoa(status)
	}
	if public, ok := errors.AsType[interface {
		error
		PublicText() string
	}](err); ok {
		text = public.PublicText()
	}
	_, _ = io.WriteString(w, text+"\n") // a visitor who has gone needs no answer
}
