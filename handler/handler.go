package handler

import (
	"context"
	"log"
	"maps"
	"net/http"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/sent"
)

// Func returns a plain handler that calls f. A nil error means that f wrote its response as usual.
//
// If f returns an error, the filter tm or retry around it answers. Without such a filter the handler
// answers itself, with the header as it was before f, and logs the error where net/http logs panics,
// to the server's ErrorLog, unless the fault is the client's. The handler is as safe for concurrent
// use as f.
func Func(f func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if result, ok := attempt.FromContext(r.Context()); ok {
			result.Fail(f(w, r))
			return
		}
		serveAlone(f, w, r)
	}
}

// serveAlone calls f for a request that no filter answers for.
func serveAlone(f func(http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) {
	noted, ok := w.(*sent.Writer)
	if !ok {
		noted = &sent.Writer{ResponseWriter: w}
	}
	before := w.Header().Clone()
	err := f(noted, r)
	if err == nil {
		return
	}
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

// Responder returns a middleware with which respond answers requests that failed behind it, instead
// of [Respond], also if the failure was that of the commit. The innermost Responder that the request
// came to counts.
//
// Respond is called once, after the last attempt and outside of its transaction. It should use
// [Status] and must not show err to the client, which may hold secrets. The response header has
// Cache-Control: no-store, which it may replace. If it writes nothing, Respond answers. It is called
// concurrently for concurrent requests.
func Responder(respond func(w http.ResponseWriter, r *http.Request, err error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if result, ok := attempt.FromContext(r.Context()); ok {
				result.SetResponder(respond)
			} else {
				r = r.WithContext(context.WithValue(r.Context(), responderKey{}, attempt.Responder(respond)))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// logToServer reports a failure that no filter reports, to the server's ErrorLog.
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
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ErrorLog != nil {
		printf = server.ErrorLog.Printf
	}
	printf("http: %s: %s %q: %q", what, r.Method, r.URL.Path, err.Error())
}
