package retry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
)

// nullWriter is a response writer that does nothing, so that only the handler is measured.
type nullWriter struct{ header http.Header }

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// router returns a chi router with a handler that writes 1 kB of text.
func router() http.Handler {
	page := []byte(strings.Repeat("0123456789abcdef", 64))
	r := chi.NewRouter()
	r.Get("/hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(page)
	})
	return r
}

func mustRetry(tb testing.TB, config retry.Config) func(http.Handler) http.Handler {
	tb.Helper()
	filter, err := retry.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	return filter
}

func browserRequest(tb testing.TB) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/hello", nil)
	for name, value := range map[string]string{
		"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept":          "text/html",
		"Accept-Language": "en", "Accept-Encoding": "gzip, br", "Cookie": "_ZopeId=1234",
		"Connection": "keep-alive",
	} {
		r.Header.Set(name, value)
	}
	return r
}

func BenchmarkPipeline(b *testing.B) {
	bare := router()
	for _, bb := range []struct {
		name    string
		handler http.Handler
	}{
		{"filters=none", bare},
		{"filters=retry", mustRetry(b, retry.Config{})(bare)},
		{"filters=tm", tm.New(tm.Config{})(bare)},
		{"filters=retry+tm", mustRetry(b, retry.Config{})(tm.New(tm.Config{})(bare))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := browserRequest(b)
			w := &nullWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				bb.handler.ServeHTTP(w, r)
			}
		})
	}
}
