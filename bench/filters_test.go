package bench_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/securecookie"
	"github.com/justinas/alice"
	"github.com/urfave/negroni/v3"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

// compose loads an .ini text.
func compose(tb testing.TB, ini string, register ...func(*pipeline.Registry)) http.Handler {
	tb.Helper()
	p, err := sites.Compose(tb.Context(), tb.TempDir(), ini, register...)
	must(tb, err)
	tb.Cleanup(func() { must(tb, p.Close()) })
	return p.Handler
}

// nothing is a filter that does nothing.
func nothing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

func quiet(http.ResponseWriter, *http.Request) {}

// BenchmarkFilters measures three filters that do nothing, around a handler that does nothing.
func BenchmarkFilters(b *testing.B) {
	app := http.HandlerFunc(quiet)
	nothings := negroni.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) },
	)
	stack := negroni.New(nothings, nothings, nothings)
	stack.UseHandler(app)
	router := chi.NewRouter()
	router.Use(nothing, nothing, nothing)
	router.Get("/hello", quiet)
	for _, bb := range []struct {
		name    string
		handler http.Handler
	}{
		{"pasteline", compose(b, `
[pipeline:main]
pipeline = egg:bench#nothing egg:bench#nothing egg:bench#nothing egg:bench#quiet
`, func(r *pipeline.Registry) {
			pipeline.Middleware(r, "egg:bench#nothing", nothing)
			newApp := func(*pipeline.Build, struct{}) (http.Handler, error) { return app, nil }
			pipeline.App(r, "egg:bench#quiet", newApp)
		})},
		{"hand", nothing(nothing(nothing(app)))},
		{"alice", alice.New(nothing, nothing, nothing).Then(app)},
		{"negroni", stack},
		{"chi", router},
	} {
		contender(b, bb.name, func(b *testing.B) {
			b.Helper()
			serve(b, bb.handler, load.NewClient(bb.handler).Request(b.Context(), "GET", "/hello"))
		})
	}
}

// serve measures a handler with one request, sent repeatedly. The CPU time includes that of the
// garbage collector.
func serve(b *testing.B, handler http.Handler, r *http.Request) {
	b.Helper()
	w := load.NewResponse()
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		w.Reset()
		handler.ServeHTTP(w, r)
	}
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns")
	if w.Status > http.StatusOK {
		b.Fatalf("status %d: %s", w.Status, w.Body)
	}
}

// cpuTime returns the CPU time of the process, in user and in system mode.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkCookie measures the whole filter browserid, for a browser with a valid cookie, against
// decoding such a cookie.
func BenchmarkCookie(b *testing.B) {
	contender(b, "pasteline", func(b *testing.B) {
		b.Helper()
		handler := compose(b, `
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a

[pipeline:main]
pipeline = browserid egg:bench#quiet
`, func(r *pipeline.Registry) {
			app := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, ok := browserid.FromContext(r.Context()); !ok {
					panic("no browser id")
				}
			})
			newApp := func(*pipeline.Build, struct{}) (http.Handler, error) { return app, nil }
			pipeline.App(r, "egg:bench#quiet", newApp)
		})
		first := httptest.NewRecorder()
		handler.ServeHTTP(first, httptest.NewRequestWithContext(b.Context(), "GET", "/", nil))
		cookies := first.Result().Cookies()
		if len(cookies) != 1 {
			b.Fatalf("got %d cookies, want 1", len(cookies))
		}
		r := load.NewClient(handler).Request(b.Context(), "GET", "/")
		r.Header.Set("Cookie", "theme=dark; "+cookies[0].Name+"="+cookies[0].Value+"; lang=de")
		w := load.NewResponse()
		handler.ServeHTTP(w, r)
		if set := w.Header()["Set-Cookie"]; set != nil {
			b.Fatalf("the cookie was not accepted: a new one is %q", set)
		}
		serve(b, handler, r)
	})
	id := []byte(strings.ToLower(rand.Text()))
	key := []byte("0123456789abcdef0123456789abcdef")
	contender(b, "securecookie-nop", func(b *testing.B) {
		b.Helper()
		codec := securecookie.New(key, nil).SetSerializer(securecookie.NopEncoder{})
		value, err := codec.Encode("id", id)
		must(b, err)
		b.ReportAllocs()
		for b.Loop() {
			var got []byte
			must(b, codec.Decode("id", value, &got))
		}
	})
	contender(b, "securecookie", func(b *testing.B) {
		b.Helper()
		codec := securecookie.New(key, nil)
		value, err := codec.Encode("id", string(id))
		must(b, err)
		b.ReportAllocs()
		for b.Loop() {
			var got string
			must(b, codec.Decode("id", value, &got))
		}
	})
}

// page opens a site for its pages that need no session.
func page(b *testing.B, name string) http.Handler {
	b.Helper()
	if name == sites.Pasteline {
		return compose(b, sites.Ini(""))
	}
	return open(b, name)
}

// BenchmarkPage measures a page of 1 kB, without a session, through the whole pipeline, against the
// handler behind chi alone and behind hand-written middlewares.
func BenchmarkPage(b *testing.B) {
	names := []string{sites.Pasteline, sites.Chi, sites.Hand, sites.SCSMemory}
	each(b, names, func(b *testing.B, name string) {
		b.Helper()
		handler := page(b, name)
		client := load.NewClient(handler)
		_, err := client.Do(b.Context(), "GET", "/page")
		must(b, err)
		serve(b, handler, client.Request(b.Context(), "GET", "/page"))
	})
}

// bodySize is the size of an upload, in bytes.
const bodySize = 5 << 20

// BenchmarkLarge measures a response of 1 MB and a request body of 5 MB, against copies in pooled
// buffers.
func BenchmarkLarge(b *testing.B) {
	names := []string{sites.Pasteline, sites.Hand, sites.Chi}
	b.Run("what=response", func(b *testing.B) {
		each(b, names, func(b *testing.B, name string) {
			b.Helper()
			handler := page(b, name)
			client := load.NewClient(handler)
			response, err := client.Do(b.Context(), "GET", "/big")
			must(b, err)
			if response.Size != sites.BigSize {
				b.Fatalf("got %d bytes, want %d", response.Size, sites.BigSize)
			}
			b.SetBytes(sites.BigSize)
			serve(b, handler, client.Request(b.Context(), "GET", "/big"))
		})
	})
	b.Run("what=body", func(b *testing.B) {
		body := bytes.Repeat([]byte("0123456789abcdef"), bodySize/16)
		each(b, names, func(b *testing.B, name string) {
			b.Helper()
			handler := page(b, name)
			reader := bytes.NewReader(body)
			r := httptest.NewRequestWithContext(b.Context(), "POST", "/upload", reader)
			w := load.NewResponse()
			b.SetBytes(bodySize)
			for b.Loop() {
				reader.Reset(body)
				r.Body = upload{reader}
				w.Reset()
				handler.ServeHTTP(w, r)
			}
			if got := string(w.Body); got != "5242880" {
				b.Fatalf("got %s", got)
			}
		})
	})
}

// An upload is a body that is read in pieces, as from a connection: it has no method WriteTo.
type upload struct{ r *bytes.Reader }

func (u upload) Read(p []byte) (int, error) { return u.r.Read(p) }
func (u upload) Close() error               { return nil }
