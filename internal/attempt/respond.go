package attempt

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// StatusClientClosedRequest is the status of a request whose client went away before its work was
// done. Access logs show it; the client only sees it if it closed just its own half of the
// connection. (The number is nginx's.)
const StatusClientClosedRequest = 499

type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string   { return e.err.Error() }
func (e *statusError) Unwrap() error   { return e.err }
func (e *statusError) HTTPStatus() int { return e.status }

// WithStatus returns err with the HTTP status, from 400 to 599, that it is answered with; nil if
// err is nil.
func WithStatus(status int, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{status, err}
}

// Status returns the HTTP status that err is answered with: the HTTPStatus() int of the first error
// in its tree that has that method, 503 if it is transient or a time limit has passed
// ([context.DeadlineExceeded]), 413 for an [http.MaxBytesError], else 500. A status below 400 or
// above 599 counts as 500: a failure is never answered as a success.
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

// StatusOf is [Status], except that an error that only says that the client has gone is not the
// server's fault.
func StatusOf(r *http.Request, err error) int {
	status := Status(err)
	if status == http.StatusInternalServerError && errors.Is(err, context.Canceled) &&
		r.Context().Err() != nil {
		return StatusClientClosedRequest
	}
	return status
}

// Log reports the failure of a request, with its method, path and status; callers of [Respond] call
// it once. The server's faults are errors, a conflict that persisted is a warning, and the client's
// faults are information. A nil logger discards.
func Log(logger *slog.Logger, message string, r *http.Request, err error, attrs ...slog.Attr) {
	if logger == nil {
		return
	}
	status := StatusOf(r, err)
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
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Any("error", err),
	}, attrs...)
	//nolint:sloglint // the message is the caller's constant
	logger.LogAttrs(r.Context(), level, message, attrs...)
}

// FailureLogger returns the logger for requests that the server failed: a slog handler with a
// method Failures() slog.Handler names another one for these, as the logger of pyramid_exclog in an
// .ini file does. Any other logger is returned as it is.
func FailureLogger(logger *slog.Logger) *slog.Logger {
	if h, ok := logger.Handler().(interface{ Failures() slog.Handler }); ok {
		return slog.New(h.Failures())
	}
	return logger
}

// retryAfter is how many seconds a client should wait after a conflict that persisted: the requests
// that caused it have usually ended in the next second.
const retryAfter = "1"

// Respond answers with the [Status] of err. The body is the PublicText() string of the first error
// in its tree that has that method, else the status's standard text; err's own text may be secret
// and is for the log. It is plain text, HTML or application/problem+json (RFC 9457), whichever the
// request's Accept field prefers; plain text if it has no preference.
//
// A transient error is answered with Retry-After, and a failure of the server, status 500 or above,
// with the request's id in X-Request-Id, in the HTML and in JSON. Header fields that describe a dropped body are
// removed, except Content-Encoding, which may belong to an outer filter that compresses: the header
// should be as it was before the failed handler.
//
// If a part of another response has been written to w, as far as that is known (by this project's
// servers and filters), Respond cuts it: it panics with [http.ErrAbortHandler], so that the framing
// of the response is broken and the client notices.
func Respond(w http.ResponseWriter, r *http.Request, err error) {
	cutIfBegun(w)
	prepare(w, r, err)
	if !debugged(w, r, err) {
		respond(w, r, err)
	}
}

// respond is Respond behind prepare.
func respond(w http.ResponseWriter, r *http.Request, err error) {
	status, header := StatusOf(r, err), w.Header()
	p := problemOf(r.Context(), status, err)
	kind, body := p.render(r.Header.Values("Accept"))
	header.Set("Content-Type", kind)
	if kind == htmlType {
		if page, ok := p.page(r.Context()); ok {
			body = page
		} else {
			header.Set("Content-Security-Policy", policy)
		}
	}
	if !slices.Contains(header.Values("Vary"), "Accept") {
		header.Add("Vary", "Accept")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

// RespondWith answers with f, or with [Respond] if f is nil or writes nothing. It sets the same
// header fields for f, which may replace them, as Respond does, and cuts a response that has begun.
func RespondWith(f Responder, w http.ResponseWriter, r *http.Request, err error) {
	if f == nil {
		Respond(w, r, err)
		return
	}
	cutIfBegun(w)
	prepare(w, r, err)
	if debugged(w, r, err) {
		return
	}
	noted := &sent.Writer{ResponseWriter: w}
	f(noted, r, err)
	if !noted.Begun() {
		prepare(w, r, err)
		respond(w, r, err)
	}
}

func cutIfBegun(w http.ResponseWriter) {
	if begun, _ := sent.Begun(w); begun {
		panic(http.ErrAbortHandler)
	}
}

// prepare removes the fields of a dropped body from the header of w, and sets those of an answer to
// err.
func prepare(w http.ResponseWriter, r *http.Request, err error) {
	status, header := StatusOf(r, err), w.Header()
	for _, name := range [...]string{
		"Accept-Ranges", "Content-Disposition", "Content-Language", "Content-Length",
		"Content-Location", "Content-Range", "Etag", "Expires", "Last-Modified", "Retry-After", "Trailer",
		"Transfer-Encoding",
	} {
		header.Del(name)
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable && transaction.IsTransient(err) {
		header.Set("Retry-After", retryAfter)
	}
	if id := observe.ID(r.Context()); id != "" && status >= http.StatusInternalServerError {
		header.Set("X-Request-Id", id)
	}
}
