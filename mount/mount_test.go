package mount_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/mount"
)

func TestCut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		target   string
		prefix   string
		wantName string
		wantPath string
		wantRaw  string
		exact    bool
		wantOK   bool
	}{
		{"below", "/blog/1", "/blog", "/blog", "/1", "", false, true},
		{"deep", "/a/b/c", "/a/b", "/a/b", "/c", "", false, true},
		{"exact", "/blog", "/blog", "/blog", "/", "", true, true},
		{"slash", "/blog/", "/blog", "/blog", "/", "", false, true},
		{"nothing", "/blog/1", "", "", "/blog/1", "", false, true},
		{"another word", "/blogs", "/blog", "", "/blogs", "", false, false},
		{"elsewhere", "/x/blog", "/blog", "", "/x/blog", "", false, false},
		{"shorter", "/blo", "/blog", "", "/blo", "", false, false},
		{"other case", "/Blog", "/blog", "", "/Blog", "", false, false},
		{"escaped rest", "/blog/a%2Fb", "/blog", "/blog", "/a/b", "/a%2Fb", false, true},
		{"escaped prefix", "/%62log/x", "/blog", "/blog", "/x", "", false, true},
		{"both escaped", "/%62log/a%2fb", "/blog", "/blog", "/a/b", "/a%2fb", false, true},
		{"escaped exact", "/blo%67", "/blog", "/blog", "/", "", true, true},
		{"escaped boundary", "/blog%2Fx", "/blog", "", "/blog/x", "/blog%2Fx", false, false},
		{"escaped slash in prefix", "/a%2fb/x", "/a/b", "", "/a/b/x", "/a%2fb/x", false, false},
		{"not ascii", "/%C3%BCber/%C3%A4", "/über", "/über", "/ä", "", false, true},
		{"blank", "/a%20b/c%20d", "/a b", "/a b", "/c d", "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			before := *r.URL
			got, ok := mount.Cut(r, tt.prefix)
			if ok != tt.wantOK {
				t.Fatalf("got %v, want %v", ok, tt.wantOK)
			}
			if name := mount.FromContext(got.Context()); name != tt.wantName {
				t.Errorf("got script name %q, want %q", name, tt.wantName)
			}
			if got.URL.Path != tt.wantPath || got.URL.RawPath != tt.wantRaw {
				t.Errorf("got path %q, raw %q, want %q, %q", got.URL.Path, got.URL.RawPath, tt.wantPath, tt.wantRaw)
			}
			if exact := mount.Exact(got.Context()); exact != tt.exact {
				t.Errorf("got exact %v, want %v", exact, tt.exact)
			}
			if *r.URL != before || mount.FromContext(r.Context()) != "" {
				t.Error("the request outside was changed")
			}
			if got.URL.RawPath != "" && got.URL.EscapedPath() != got.URL.RawPath {
				t.Error("the raw path is none of the path")
			}
		})
	}
}

// A raw path that a filter forgot to change along with the path does not count, as in net/url.
func TestCutIgnoresStaleRawPath(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/a%2Fb", nil)
	r.URL.Path = "/blog/x"
	got, ok := mount.Cut(r, "/blog")
	if !ok || got.URL.Path != "/x" || got.URL.RawPath != "" {
		t.Errorf("got %v, path %q, raw %q", ok, got.URL.Path, got.URL.RawPath)
	}
}

func TestCutTwice(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/a/b/c?q=1", nil)
	r, _ = mount.Cut(r, "/a")
	r, ok := mount.Cut(r, "/b")
	if !ok || mount.FromContext(r.Context()) != "/a/b" || r.URL.RequestURI() != "/c?q=1" {
		t.Errorf("got %v, %q, %q", ok, mount.FromContext(r.Context()), r.URL.RequestURI())
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r = mount.Set(r, "/james")
	if r.URL.Path != "/x" || mount.FromContext(r.Context()) != "/james" {
		t.Errorf("got path %q, name %q", r.URL.Path, mount.FromContext(r.Context()))
	}
	cut, _ := mount.Cut(r, "/x")
	if name := mount.FromContext(cut.Context()); name != "/james/x" {
		t.Errorf("got %q, want /james/x", name)
	}
	if cut = mount.Set(cut, "/y"); mount.FromContext(cut.Context()) != "/y" || !mount.Exact(cut.Context()) || cut.URL.Path != "/" {
		t.Errorf("got %q, path %q", mount.FromContext(cut.Context()), cut.URL.Path)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		script  string
		ref     string
		https   bool
		scheme  string // of the URL, as a filter sets it
		want    string
		wantURL string
	}{
		{"none", "", "/login", false, "", "/login", "http://example.org/login"},
		{"name", "/blog", "/login?next=%2Fx#top", false, "", "/blog/login?next=%2Fx#top", "http://example.org/blog/login?next=%2Fx#top"},
		{"escaped", "/über uns", "/", true, "", "/%C3%BCber%20uns/", "https://example.org/%C3%BCber%20uns/"},
		{"proxy", "/a", "/b", false, "https", "/a/b", "https://example.org/a/b"},
		{"odd scheme", "/a", "/b", false, "gopher", "/a/b", "http://example.org/a/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Host: "example.org", URL: &url.URL{Path: "/", Scheme: tt.scheme}}
			if tt.https {
				r.TLS = &tls.ConnectionState{}
			}
			r = mount.Set(r, tt.script)
			if got := mount.Join(r.Context(), tt.ref); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := mount.URL(r, tt.ref); got != tt.wantURL {
				t.Errorf("got %q, want %q", got, tt.wantURL)
			}
		})
	}
}

// A router inside must route by what is left of the path, whatever the router outside has made of it.
func TestChiInsideChi(t *testing.T) {
	t.Parallel()
	inner := chi.NewRouter()
	inner.Get("/post/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("post " + chi.URLParam(r, "id")))
	})
	cut := func(prefix string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r, ok := mount.Cut(r, prefix); ok {
				inner.ServeHTTP(w, r)
				return
			}
			http.NotFound(w, r)
		})
	}
	outer := chi.NewRouter()
	outer.Mount("/site", cut("/site/blog"))
	outer.Route("/deep/{user}", func(r chi.Router) { r.Handle("/*", cut("/deep/me/blog")) })
	outer.Mount("/set", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, mount.Set(r, "/proxy")) // the path is chi's still
	}))
	for _, target := range []string{"/site/blog/post/7", "/deep/me/blog/post/7", "/set/post/7"} {
		w := httptest.NewRecorder()
		outer.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != http.StatusOK || w.Body.String() != "post 7" {
			t.Errorf("%s: got %d %q", target, w.Code, w.Body)
		}
	}
}

func TestContextGoesOn(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/a/b", nil)
	r, _ = mount.Cut(r, "/a")
	if r.Context().Value(key{}) != "kept" {
		t.Error("a value of the context outside is lost")
	}
	inner, stop := context.WithCancel(r.Context())
	defer stop()
	cancel()
	<-inner.Done()
}

func TestCutAllocations(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/blog/1", nil)
	if got := testing.AllocsPerRun(100, func() { mount.Cut(r, "/blog") }); got > 3 {
		t.Errorf("got %v allocations, want at most 3: the context, the request and the script name", got)
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"/blog/1": "/1", "/1": "/1", "/blogs": "/blogs", "/blog": "/"} {
		r := mount.Below(httptest.NewRequest(http.MethodGet, target, nil), "/blog")
		if name := mount.FromContext(r.Context()); name != "/blog" || r.URL.Path != want {
			t.Errorf("%s: got %q, %q, want the path %q", target, name, r.URL.Path, want)
		}
	}
	if r := httptest.NewRequest(http.MethodGet, "/blog/1", nil); mount.Below(r, "") != r {
		t.Error("another request without a prefix")
	}
}

// What Cut leaves always means the same as what was there.
func FuzzCut(f *testing.F) {
	for _, seed := range [][2]string{{"/blog/1", "/blog"}, {"/%62log/a%2Fb", "/blog"}, {"/a%2Fb", "/a"}, {"/a//b", "/a"}, {"//", "/"}, {"/%2e%2e/x", "/.."}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, target, prefix string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		r := &http.Request{URL: u}
		got, ok := mount.Cut(r, prefix)
		if !ok || prefix == "" {
			if got != r {
				t.Fatal("another request, though nothing was cut")
			}
			return
		}
		name, path := mount.FromContext(got.Context()), got.URL.Path
		if mount.Exact(got.Context()) {
			path = ""
		}
		if name+path != u.Path {
			t.Errorf("%q and %q are not %q", name, path, u.Path)
		}
		if got.URL.RawPath != "" && got.URL.EscapedPath() != got.URL.RawPath {
			t.Errorf("raw path %q is none of %q", got.URL.RawPath, got.URL.Path)
		}
	})
}
