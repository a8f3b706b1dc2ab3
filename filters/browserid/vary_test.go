package browserid_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
)

func TestVary(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{
		SecretKey: testSecret,
		Vary: []string{
			"REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_HOST", "HTTP_ACCEPT_LANGUAGE",
			"REQUEST_METHOD", "wsgi.url_scheme", "MISSING",
		},
	})
	request := func(change func(*http.Request)) *http.Request {
		r := get()
		r.RemoteAddr = "[::1]:80"
		r.Header.Set("User-Agent", "Fluzbox/7.0")
		r.Header["Accept-Language"] = []string{"de", "en"}
		change(r)
		return r
	}
	first := visitWith(t, filter, request(func(*http.Request) {}))
	tests := []struct {
		name   string
		change func(*http.Request)
		want   bool
	}{
		{"nothing", func(*http.Request) {}, true},
		{"port", func(r *http.Request) { r.RemoteAddr = "[::1]:99" }, true},
		{"address without port", func(r *http.Request) { r.RemoteAddr = "::1" }, true},
		{"another header", func(r *http.Request) { r.Header.Set("Accept", "text/html") }, true},
		{"address", func(r *http.Request) { r.RemoteAddr = "[::2]:80" }, false},
		{"no address", func(r *http.Request) { r.RemoteAddr = "" }, false},
		{"user agent", func(r *http.Request) { r.Header.Set("User-Agent", "Fluzbox/7.1") }, false},
		{"host", func(r *http.Request) { r.Host = "example.org" }, false},
		{
			"one of two lines", func(r *http.Request) { r.Header["Accept-Language"] = []string{"de"} },
			false,
		},
		{"method", func(r *http.Request) { r.Method = http.MethodPost }, false},
		{"scheme", func(r *http.Request) { r.URL.Scheme = "https" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(tt.change)
			r.Header.Set("Cookie", first.cookie())
			if got := visitWith(t, filter, r); (got.id == first.id) != tt.want {
				t.Errorf("accepted: %v, want %v", got.id == first.id, tt.want)
			}
		})
	}
}

// The cookie is bound to the incoming request, whatever inner filters change.
func TestVaryOnIncomingRequest(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{SecretKey: testSecret, Vary: []string{"HTTP_USER_AGENT"}})
	first := get()
	first.Header.Set("User-Agent", "Fluzbox/7.0")
	w := httptest.NewRecorder()
	filter(http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request,
	) {
		r.Header.Del("User-Agent")
	})).ServeHTTP(w, first)
	pair, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	again := get(pair)
	again.Header.Set("User-Agent", "Fluzbox/7.0")
	if got := visitWith(t, filter, again); got.setCookie != "" {
		t.Error("the cookie is bound to a header that an inner filter set")
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPut, "https://example.org:8443/a%20b?q=1", nil)
	r.RemoteAddr = "10.0.0.7:4711"
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("X-Forwarded-For", "10.1.1.1")
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6543}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
	for name, want := range map[string]string{
		"REMOTE_ADDR":          "10.0.0.7",
		"REQUEST_METHOD":       "PUT",
		"PATH_INFO":            "/a b",
		"QUERY_STRING":         "q=1",
		"SERVER_NAME":          "127.0.0.1",
		"SERVER_PORT":          "6543",
		"SERVER_PROTOCOL":      "HTTP/1.1",
		"wsgi.url_scheme":      "https",
		"CONTENT_TYPE":         "text/plain",
		"HTTP_HOST":            "example.org:8443",
		"HTTP_X_FORWARDED_FOR": "10.1.1.1",
		"HTTP_ACCEPT":          "",
	} {
		if got, ok := browserid.Environ(r, name); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, want)
		}
	}
	if got, _ := browserid.Environ(get(), "SERVER_PORT"); got != "" {
		t.Errorf("SERVER_PORT without a server: got %q", got)
	}
	for _, name := range []string{
		"", "HTTP_", "HTTP_CONTENT_TYPE", "HTTP_X-Y", "HTTP_X-",
		"http_accept", "User-Agent", "REMOTE_PORT", "wsgi.version",
	} {
		if got, ok := browserid.Environ(r, name); ok {
			t.Errorf("%q: got %q, want that no request has it", name, got)
		}
	}
}
