//go:build !race

package serve_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// BenchmarkListeners compares a page that reads its session, and one that writes to it, without
// listeners, with each one, and with all of them.
func BenchmarkListeners(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(collector.Close)
	const (
		metrics   = "/metrics = egg:pasteline#metrics\n"
		inspector = "/inspector = egg:pasteline#inspector\n"
		tracing   = "tracing "
	)
	for _, page := range []struct{ name, method, path string }{
		{"read", http.MethodGet, "/read"}, {"write", http.MethodPost, "/incr"},
	} {
		for _, bb := range []struct {
			name, filters, mounts string
			level                 slog.Level
		}{
			{"none", "", "", slog.LevelInfo},
			{"log", "", "", slog.LevelDebug},
			{"metrics", "", metrics, slog.LevelInfo},
			{"traces", tracing, "", slog.LevelInfo},
			{"inspector", "", inspector, slog.LevelInfo},
			{"all", tracing, metrics + inspector, slog.LevelDebug},
		} {
			b.Run(page.name+"/"+bb.name, func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "site.ini")
				if err := os.WriteFile(path, []byte(`
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a

[filter:tracing]
use = egg:pasteline#tracing
endpoint = `+collector.URL+`/v1/traces

[app:myapp]
use = egg:myapp#app
zodb_uri = memory://listeners

[composite:urls]
use = egg:Paste#urlmap
/ = myapp
`+bb.mounts+`
[pipeline:main]
pipeline = `+bb.filters+`browserid egg:repoze.retry#retry egg:repoze.tm2#tm urls
`), 0o600); err != nil {
					b.Fatal(err)
				}
				registry := pipeline.NewRegistry()
				serve.Standard(registry)
				myapp.Register(registry)
				p, err := pipeline.Load(b.Context(), path, pipeline.Options{
					Registry: registry,
					Logger: slog.New(slog.NewTextHandler(&nowhere{},
						&slog.HandlerOptions{Level: bb.level})),
				})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				first := httptest.NewRecorder()
				p.ServeHTTP(first, httptest.NewRequestWithContext(b.Context(), http.MethodPost,
					"/incr", http.NoBody))
				r := httptest.NewRequestWithContext(b.Context(), page.method, page.path,
					http.NoBody)
				for _, cookie := range first.Result().Cookies() {
					r.AddCookie(cookie)
				}
				w := &nowhere{header: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					p.ServeHTTP(w, r)
				}
				if w.status >= http.StatusBadRequest {
					b.Fatalf("status %d", w.status)
				}
			})
		}
	}
}
