// Package observehttp tells the listeners of package observe about HTTP requests.
//
// The loader uses it for the listeners of an .ini file. A program that composes its handlers in Go
// wraps the outermost one with [New], and each app, within the filters, with [Route]:
//
//	h := observehttp.New(listener)(retry(tm(observehttp.Route("shop", router))))
//
// Handlers find the request with [observe.FromContext], for example to show its id.
package observehttp

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
)

// New returns a middleware that tells listeners about the requests of a handler. It has to be
// outside of retry and tm. A request keeps the id that its context has, as the server's, which may
// come from a trusted proxy.
func New(listeners ...observe.Listener) func(http.Handler) http.Handler {
	l := observe.NewListeners(listeners...)
	return func(next http.Handler) http.Handler {
		if l == nil {
			return next
		}
		return &handler{next, l}
	}
}

type handler struct {
	next      http.Handler
	listeners *observe.Listeners
}

// ServeHTTP tells the begin and the end of a request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	ctx := r.Context()
	seen := observe.FromContext(ctx)
	if seen == nil {
		seen = observe.NewRequest("", h.listeners)
	} else {
		seen = seen.With(h.listeners)
	}
	ctx = seen.RequestStart(observe.NewContext(ctx, seen), observe.RequestStart{
		ID: seen.ID(), Method: r.Method, Path: r.URL.Path, Host: r.Host, RemoteAddr: r.RemoteAddr,
		Time: start,
	})
	out := &sent.Writer{ResponseWriter: w}
	panicked := true
	defer func() {
		status := out.Status
		switch { // as the server is going to answer
		case status == 0 && panicked:
			status = http.StatusInternalServerError
		case status == 0:
			status = http.StatusOK
		}
		seen.RequestEnd(ctx, observe.RequestEnd{
			Method: r.Method, Path: r.URL.Path, Status: status, Bytes: out.Bytes,
			Panicked: panicked,
			Start:    start, Duration: time.Since(start),
		})
	}()
	own := r.WithContext(ctx)
	defer formfiles.HandBack(r, own)
	h.next.ServeHTTP(out, own)
	panicked = false
}

// Route wraps an app, and records its name and the pattern of the route of each request: that of
// chi or of [http.ServeMux], behind the path at which the app is mounted. Listeners find both in the
// request's [observe.Summary]. For an app that has a router of chi inside, use [RouteOf].
func Route(app string, next http.Handler) http.Handler {
	router, _ := next.(chi.Routes)
	return RouteOf(app, router, next)
}

// RouteOf is [Route] for an app with a router of chi inside; a nil router is none.
func RouteOf(app string, router chi.Routes, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := observe.FromContext(r.Context())
		if !seen.Listening() {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		// A router of chi keeps its state in the context that it gets, if there is one, and otherwise
		// in one that is not visible here.
		routing := chi.RouteContext(ctx)
		if routing == nil && router != nil { // middleware of chi needs the routes
			routing = chi.NewRouteContext()
			routing.Routes = router
			ctx = context.WithValue(ctx, chi.RouteCtxKey, routing)
		}
		own := r.WithContext(ctx)
		defer formfiles.HandBack(r, own)
		seen.SetRoute(app, "") // while the request runs, the app alone is known
		defer func() { seen.SetRoute(app, mount.FromContext(ctx)+pattern(routing, own)) }()
		next.ServeHTTP(w, own)
	})
}

// pattern returns the path of the pattern that r was routed by, or "".
func pattern(routing *chi.Context, r *http.Request) string {
	if routing != nil && len(routing.RoutePatterns) > 0 {
		return routing.RoutePattern()
	}
	// "[METHOD ][HOST]/[PATH]"
	_, path, ok := strings.Cut(r.Pattern, "/")
	if !ok {
		return ""
	}
	return "/" + path
}
