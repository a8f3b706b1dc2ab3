package mount

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/internal/request/formfiles"
)

// A Mux is an [http.ServeMux] that knows its patterns, so that commands such as serve routes can
// list them, and that mounts other handlers below a path. The zero Mux is ready to use. Handle,
// HandleFunc and Mount must not be called while the Mux serves.
type Mux struct {
	mux      http.ServeMux
	patterns []string
}

// Handle registers a handler, as [http.ServeMux.Handle] does, and panics as that does.
func (m *Mux) Handle(pattern string, h http.Handler) {
	m.mux.Handle(pattern, h)
	m.patterns = append(m.patterns, pattern)
}

// HandleFunc registers a function, as [http.ServeMux.HandleFunc] does, and panics as that does.
func (m *Mux) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(f))
}

// Mount passes all requests for prefix and the paths below it to h, with prefix cut off as by
// [Cut]. prefix is unescaped, with a leading slash and no trailing one. If h knows its patterns, as
// a Mux and a chi router do, they are listed below prefix; otherwise prefix is, with a slash.
func (m *Mux) Mount(prefix string, h http.Handler) {
	if !strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") ||
		strings.ContainsAny(prefix, "{}") {
		panic("mount: a prefix starts with a slash and ends without one, not " + prefix)
	}
	router, _ := h.(chi.Routes)
	mounted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, ok := Cut(r, prefix)
		if !ok { // the slash after the prefix is escaped
			http.NotFound(w, r)
			return
		}
		inner.Pattern = ""
		var routing *chi.Context
		if router != nil { // a chi router keeps its pattern in a context, which is not visible here
			routing = chi.NewRouteContext()
			routing.Routes = router
			inner = inner.WithContext(context.WithValue(inner.Context(), chi.RouteCtxKey, routing))
		}
		defer formfiles.HandBack(r, inner)
		defer func() { // for the listeners and middleware around the Mux
			if pattern := cmp.Or(routing.RoutePattern(), inner.Pattern); pattern != "" {
				r.Pattern = prepend(prefix, pattern)
			}
		}()
		h.ServeHTTP(w, inner)
	})
	m.mux.Handle(prefix, mounted)
	m.mux.Handle(prefix+"/", mounted)
	below, ok := Patterns(h)
	if !ok {
		below = []string{"/"}
	}
	for _, pattern := range below {
		m.patterns = append(m.patterns, prepend(prefix, pattern))
	}
}

// ServeHTTP passes the request to the handler whose pattern matches it best.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// Patterns returns the patterns, in the order of their registration.
func (m *Mux) Patterns() []string { return append([]string{}, m.patterns...) }

// Patterns returns the patterns of a router in the syntax of [http.ServeMux]: "[METHOD
// ][HOST]/[PATH]", with the path as the router writes it. A router is a chi router, with the
// routers that are mounted in it, or has a method Patterns() []string. For any other value Patterns
// returns nil and false.
func Patterns(router any) ([]string, bool) {
	switch router := router.(type) {
	case interface{ Patterns() []string }:
		return append([]string{}, router.Patterns()...), true
	case chi.Routes:
		return chiPatterns([]string{}, router, ""), true
	}
	return nil, false
}

// chiPatterns appends the patterns of a chi router that is mounted below parent. A route for all
// methods has one pattern.
func chiPatterns(all []string, router chi.Routes, parent string) []string {
	for _, route := range router.Routes() {
		path := strings.ReplaceAll(parent+route.Pattern, "/*/", "/")
		if route.SubRoutes != nil {
			all = chiPatterns(all, route.SubRoutes, path)
			continue
		}
		if _, ok := route.Handlers["*"]; ok {
			all = append(all, path)
			continue
		}
		for _, method := range slices.Sorted(maps.Keys(route.Handlers)) {
			all = append(all, method+" "+path)
		}
	}
	return all
}

// prepend puts prefix in front of the path of a pattern.
func prepend(prefix, pattern string) string {
	at := strings.IndexByte(pattern, '/')
	if at < 0 {
		return pattern
	}
	return pattern[:at] + prefix + pattern[at:]
}
