package handler

import (
	"context"
	"log"
	"maps"
	"net/http"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/sent"
)

// Func returns a plain handler that calls f. A nil error means that f wrote its response as usual.
//
// If f returns an error, the filter tm or retry around it answers. Without such a filter the
// handler answers itself, with the header as it was before f, and logs the error to the server's
// ErrorLog, where net/http logs panics, unless its status is 4xx. The handler is as safe for
// concurrent use as f.
func Func(f func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if result, ok := attempt.FromContext(r.Context()); ok {
			if err := f(w, r); err != nil {
				attempt.Returned(r.Context(), f, err)
				result.Fail(err)
			}
			return
		}
		serveAlone(f, w, r)
	}
}

// serveAlone calls f for a request without a filter that answers for errors.
func serveAlone(
	f func(http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request,
) {
	noted, ok := w.(*sent.Writer)
	if !ok {
		noted = &sent.Writer{ResponseWriter: w}
	}
	before := w.Header().Clone()
	err := f(noted, r)
	if err == nil {
		return
	}
	attempt.Returned(r.Context(), f, err)
	logToServer(r, noted, err)
	if noted.Hijacked { // the connection belongs to f, or to a goroutine that f started
		return
	}
	if !noted.Begun() {
		header := w.Header()
		clear(header)
		maps.Copy(header, before)
	}
	responder, _ := r.Context().Value(responderKey{}).(attempt.Responder)
	attempt.RespondWith(responder, noted, r, err)
}

type responderKey struct{}

// Responder returns a middleware that answers failed requests with respond instead of [Respond],
// also if the commit failed. Of several, the innermost that the request came to counts.
//
// The function respond is called once, after the last attempt and outside of its transaction. It
// should use [Status] and must not show err to the client, as it may contain secrets. The response
// header has Cache-Control: no-store, which respond may replace. If it writes nothing, Respond
// answers. It is called concurrently for concurrent requests.
func Responder(
	respond func(w http.ResponseWriter, r *http.Request, err error),
) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if result, ok := attempt.FromContext(r.Context()); ok {
				result.SetResponder(respond)
			} else {
				ctx := context.WithValue(r.Context(), responderKey{}, attempt.Responder(respond))
				r = r.WithContext(ctx)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// logToServer logs a failure to the server's ErrorLog, for a request without a filter that logs it.
func logToServer(r *http.Request, w *sent.Writer, err error) {
	what := "a request failed"
	switch status := attempt.StatusOf(r, err); {
	case w.Hijacked:
		what = "a request failed after its connection was taken over"
	case w.Begun():
		what = "a response was cut"
	case status < http.StatusInternalServerError:
		return
	}
	printf := log.Printf
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if ok && server.ErrorLog != nil {
		printf = server.ErrorLog.Printf
	}
	printf("http: %s: %s %q: %q", what, r.Method, r.URL.Path, err.Error())
}
