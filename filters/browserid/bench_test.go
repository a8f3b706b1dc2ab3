package browserid_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
)

// discard is a response writer that does nothing.
type discard struct{ header http.Header }

func (w discard) Header() http.Header         { return w.header }
func (w discard) Write(p []byte) (int, error) { return len(p), nil }
func (w discard) WriteHeader(int)             {}

// known returns a handler behind a filter, and a request with several cookies, one of which is
// valid.
func known(tb testing.TB, c browserid.Config) (http.Handler, *http.Request) {
	tb.Helper()
	c.SecretKey = testSecret
	filter := mustNew(tb, c)
	cookie := visitWith(tb, filter, get()).cookie()
	hello := []byte("hello")
	return filter(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(hello)
	})), get("theme=dark; " + cookie + "; lang=de")
}

func BenchmarkFilter(b *testing.B) {
	run := func(name string, h http.Handler, r *http.Request) {
		b.Run(name, func(b *testing.B) {
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
				clear(w.header)
			}
		})
	}
	hello := []byte("hello")
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(hello) })
	_, r := known(b, browserid.Config{})
	run("cookie=valid/filter=none", bare, r)
	run("cookie=valid/filter=net-http-reads-cookie",
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := r.Cookie("repoze.browserid"); err != nil {
				b.Error(err)
			}
			bare(w, r)
		}), r)

	h, r := known(b, browserid.Config{})
	run("cookie=valid/filter=browserid", h, r)
	run("cookie=none/filter=browserid", h, get())
	run("cookie=forged/filter=browserid", h,
		get("repoze.browserid=fb91d5f5412b2d7a7b407b2042f16990.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
	h, r = known(b, browserid.Config{Vary: []string{"REMOTE_ADDR", "HTTP_USER_AGENT"}})
	run("cookie=valid/filter=browserid,vary", h, r)
	h, r = known(b, browserid.Config{Compat: browserid.CompatRepoze})
	run("cookie=valid/filter=browserid,repoze", h, r)
}

func BenchmarkFromContext(b *testing.B) {
	filter := mustNew(b, browserid.Config{SecretKey: testSecret})
	filter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = browserid.FromContext(r.Context())
		}
	})).ServeHTTP(httptest.NewRecorder(), get())
}
