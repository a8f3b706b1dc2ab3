package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
)

// BenchmarkRequest compares a request that reads a session with and without the metrics.
func BenchmarkRequest(b *testing.B) {
	for name, ini := range map[string]string{
		"off": strings.Replace(site, "/metrics = metrics\n", "", 1),
		"on":  site,
	} {
		b.Run(name, func(b *testing.B) {
			r := pipeline.NewRegistry()
			register(r)
			p, err := pipeline.Load(b.Context(), "site.ini", pipeline.Options{
				Registry: r, NoJobs: true, ReadFile: func(string) ([]byte, error) {
					return []byte(strings.Replace(ini, "URI", "memory://bench", 1)), nil
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			first := do(p, http.MethodPost, "/incr")
			request := httptest.NewRequest(http.MethodGet, "/read", nil)
			for _, cookie := range first.Result().Cookies() {
				request.AddCookie(cookie)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.ServeHTTP(httptest.NewRecorder(), request)
			}
		})
	}
}
