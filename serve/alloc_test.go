//go:build !race

package serve_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// nowhere is a response that costs nothing, so that what is measured is the pipeline alone.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(status int)      { w.status = status }

// A browser's header has more fields than the one that matters here.
var browserFields = map[string]string{
	"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Accept":          "text/html",
	"Accept-Language": "en", "Accept-Encoding": "gzip, br", "Connection": "keep-alive",
}

// TestAllocations holds what a request may allocate in whole pipelines, as an .ini file composes
// them. (Under the race detector sync.Pool forgets at random, so there is no budget.)
func TestAllocations(t *testing.T) {
	nothing := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request,
		) {
			next.ServeHTTP(w, r)
		})
	}
	text := []byte(strings.Repeat("0123456789abcdef", 64))
	register := func(r *pipeline.Registry) {
		pipeline.Middleware(r, "egg:test#nothing", nothing)
		for name, body := range map[string][]byte{"quiet": nil, "page": text} {
			pipeline.App(r, "egg:test#"+name,
				func(*pipeline.Build, struct{}) (http.Handler, error) {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						if body != nil {
							w.Header().Set("Content-Type", "text/plain; charset=utf-8")
							_, _ = w.Write(body)
						}
					}), nil
				})
		}
	}
	const filters = `
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a

[app:myapp]
use = egg:myapp#app
zodb_uri = bolt://%(here)s/data.db

[pipeline:main]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm `
	tests := []struct {
		name   string
		ini    string
		path   string
		budget float64
	}{
		{"three filters that do nothing", "[pipeline:main]\npipeline = egg:test#nothing " +
			"egg:test#nothing egg:test#nothing egg:test#quiet\n", "/", 0},
		{"browserid, a cookie that is valid", strings.Replace(filters,
			"egg:repoze.retry#retry egg:repoze.tm2#tm", "", 1) + "egg:test#quiet\n", "/", 1},
		{"a page of 1 kB, no session", filters + "egg:test#page\n", "/", 7},
		{"a session is read", filters + "myapp\n", "/read", 18},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, path := writeSite(t, tt.ini)
			registry := pipeline.NewRegistry()
			serve.Standard(registry)
			myapp.Register(registry)
			register(registry)
			p, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: registry})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()

			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
			for name, value := range browserFields {
				r.Header.Set(name, value)
			}
			came := r
			if tt.path == "/read" { // somebody whose session has something in it
				came = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/incr",
					http.NoBody)
			}
			first := httptest.NewRecorder()
			p.ServeHTTP(first, came)
			for _, cookie := range first.Result().Cookies() {
				r.AddCookie(cookie)
			}
			second := httptest.NewRecorder()
			p.ServeHTTP(second, r)
			if tt.path == "/read" && second.Body.String() != "1" {
				t.Fatalf("read %q, want what was written", second.Body)
			}
			w := &nowhere{header: http.Header{}}
			got := testing.AllocsPerRun(500, func() {
				clear(w.header)
				p.ServeHTTP(w, r)
			})
			if got > tt.budget {
				t.Errorf("got %v allocations, want at most %v", got, tt.budget)
			}
			if w.status >= http.StatusBadRequest || len(w.header["Set-Cookie"]) > 0 {
				t.Errorf("got status %d, Set-Cookie %q, want a page and no new cookie", w.status,
					w.header["Set-Cookie"])
			}
		})
	}
}
