package mount_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/mount"
)

// echoPath answers with the path that it sees, and the part in front of it.
func echoPath(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s|%s", mount.FromContext(r.Context()), r.URL.Path)
}

func ExampleMux() {
	var blog, site mount.Mux
	blog.HandleFunc("GET /entry/{id}", echoPath)
	site.HandleFunc("/{$}", echoPath)
	site.Mount("/blog", &blog)
	fmt.Println(site.Patterns())

	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/blog/entry/7", nil))
	fmt.Println(w.Body)
	// Output:
	// [/{$} GET /blog/entry/{id}]
	// /blog|/entry/7
}

// A Mux of each kind of handler, mounted twice deep: the answers, the patterns in the list, and the
// pattern that middleware around the Mux sees.
func TestMux(t *testing.T) {
	t.Parallel()
	router := chi.NewRouter()
	router.Get("/items/{id}", echoPath)
	router.Handle("/any", http.HandlerFunc(echoPath))
	router.Route("/deep", func(r chi.Router) { r.Post("/", echoPath) })
	var inner, site mount.Mux
	inner.HandleFunc("GET /page", echoPath)
	inner.HandleFunc("example.org/hosted", echoPath)
	inner.Mount("/router", router)
	site.HandleFunc("/{$}", echoPath)
	site.Mount("/in", &inner)
	site.Mount("/opaque", http.HandlerFunc(echoPath))

	want := []string{
		"/in/router/any", "/opaque/", "/{$}", "GET /in/page", "GET /in/router/items/{id}",
		"POST /in/router/deep/", "example.org/in/hosted",
	}
	if got := slices.Sorted(slices.Values(site.Patterns())); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, tt := range []struct{ method, target, body, pattern string }{
		{"GET", "/", "|/", "/{$}"},
		{"GET", "/in/page", "/in|/page", "GET /in/page"},
		{"GET", "http://example.org/in/hosted", "/in|/hosted", "example.org/in/hosted"},
		{"GET", "/in/router/items/7", "/in/router|/items/7", "/in/router/items/{id}"},
		{"GET", "/in/router/any", "/in/router|/any", "/in/router/any"},
		{"GET", "/opaque/x", "/opaque|/x", "/opaque/"},
		{"GET", "/opaque", "/opaque|/", "/opaque"},
		{"GET", "/in%2Fpage", "404 page not found\n", ""},
	} {
		t.Run(tt.target, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, tt.target, nil)
			w := httptest.NewRecorder()
			site.ServeHTTP(w, r)
			if w.Body.String() != tt.body || r.Pattern != tt.pattern {
				t.Errorf("got %q by %q, want %q by %q", w.Body, r.Pattern, tt.body, tt.pattern)
			}
		})
	}
}

func TestMountRefuses(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/", "blog", "/blog/", "/{name}"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			new(mount.Mux).Mount(prefix, http.NotFoundHandler())
		})
	}
}

func TestPatternsOfOthers(t *testing.T) {
	t.Parallel()
	if got, ok := mount.Patterns(http.NewServeMux()); ok || got != nil {
		t.Errorf("got %q, %v for an http.ServeMux, which tells no patterns", got, ok)
	}
	if got, ok := mount.Patterns(new(mount.Mux)); !ok || got == nil {
		t.Errorf("got %v, %v for an empty Mux", got, ok)
	}
}
