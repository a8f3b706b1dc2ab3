package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/server"
)

// What an app sees of a request that comes through proxies, or pretends to. The peer of all of them
// is 127.0.0.1.
func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	believed := func(headers string) server.Config {
		return server.Config{
			TrustedProxy:        []string{"127.0.0.0/8"},
			TrustedProxyHeaders: strings.Fields(headers),
		}
	}
	two := believed("x-forwarded-for x-forwarded-host")
	two.TrustedProxyCount = 2
	all := "x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port"
	https := believed(all)
	https.URLScheme = "https"
	const bad = "400 Bad Request"
	tests := []struct {
		name   string
		config server.Config
		header []string
		want   string // what follows the protocol; an address is left out if it is the peer's own
	}{
		{"nobody is believed", server.Config{}, []string{
			"X-Forwarded-Proto", "https",
			"X-Forwarded-For", "1.2.3.4",
		}, "http://site/"},
		{
			"another is believed",
			server.Config{
				TrustedProxy:        []string{"10.0.0.0/8"},
				TrustedProxyHeaders: []string{"x-forwarded-for"},
			},
			[]string{"X-Forwarded-For", "1.2.3.4"},
			"http://site/",
		},
		{"by default the scheme", believed(""), []string{
			"X-Forwarded-Proto", "HTTPS",
			"X-Forwarded-For", "1.2.3.4",
		}, "https://site/"},
		{
			"localhost",
			server.Config{TrustedProxy: []string{"localhost"}},
			[]string{"X-Forwarded-Proto", "https"},
			"https://site/",
		},
		{
			"everybody",
			server.Config{TrustedProxy: []string{"*"}},
			[]string{"X-Forwarded-Proto", "https"},
			"https://site/",
		},
		{
			"address", believed(all),
			[]string{"X-Forwarded-For", "1.2.3.4"},
			"http://site/ from 1.2.3.4:0",
		},
		{
			"the last of several", believed(all),
			[]string{"X-Forwarded-For", "9.9.9.9, 1.2.3.4"},
			"http://site/ from 1.2.3.4:0",
		},
		{"several lines", believed(all), []string{
			"X-Forwarded-For", "9.9.9.9", "X-Forwarded-For",
			"1.2.3.4",
		}, "http://site/ from 1.2.3.4:0"},
		{"two proxies", two, []string{
			"X-Forwarded-For", "9.9.9.9, 1.2.3.4, 10.0.0.1",
			"X-Forwarded-Host", "evil, example.org, inner",
		}, "http://example.org/ from 1.2.3.4:0"},
		{
			"two proxies, one entry", two,
			[]string{"X-Forwarded-For", "1.2.3.4"},
			"http://site/ from 1.2.3.4:0",
		},
		{
			"address with port", believed(all),
			[]string{"X-Forwarded-For", "1.2.3.4:555"},
			"http://site/ from 1.2.3.4:555",
		},
		{
			"IPv6", believed(all),
			[]string{"X-Forwarded-For", `"[2001:db8::1]"`},
			"http://site/ from [2001:db8::1]:0",
		},
		{"nobody knows who", believed(all), []string{"X-Forwarded-For", "unknown"}, "http://site/"},
		{"host", believed(all), []string{"X-Forwarded-Host", "example.org"}, "http://example.org/"},
		{"host and port", believed(all), []string{
			"X-Forwarded-Host", "example.org",
			"X-Forwarded-Port", "8443", "X-Forwarded-Proto", "https",
		}, "https://example.org:8443/"},
		{"the scheme's own port", believed(all), []string{
			"X-Forwarded-Host", "example.org",
			"X-Forwarded-Port", "443", "X-Forwarded-Proto", "https",
		}, "https://example.org/"},
		{"the host's port wins", believed(all), []string{
			"X-Forwarded-Host", "example.org:81",
			"X-Forwarded-Port", "8443",
		}, "http://example.org:81/"},
		{"configured scheme", https, nil, "https://site/"},
		{"the proxy's scheme wins", https, []string{"X-Forwarded-Proto", "http"}, "http://site/"},
		{"no scheme", believed(all), []string{"X-Forwarded-Proto", "gopher"}, bad},
		{"two schemes", believed(all), []string{"X-Forwarded-Proto", "http, https"}, bad},
		{"no host", believed(all), []string{"X-Forwarded-Host", "a/b"}, bad},
		{"no port", believed(all), []string{"X-Forwarded-Host", "a", "X-Forwarded-Port", "x"}, bad},
		{
			"standard", believed("forwarded"),
			[]string{"Forwarded", `For="[2001:db8::1]:99";host=example.org;proto=https;by=_x`},
			"https://example.org/ from [2001:db8::1]:99",
		},
		{
			"standard, the last of several", believed("forwarded"),
			[]string{"Forwarded", "for=9.9.9.9;host=evil, for=1.2.3.4"},
			"http://site/ from 1.2.3.4:0",
		},
		{"standard, malformed", believed("forwarded"), []string{"Forwarded", "for"}, bad},
		{
			"standard, not believed", believed(all),
			[]string{"Forwarded", "for=1.2.3.4"},
			"http://site/",
		},
		{"prefix", server.Config{URLPrefix: "james/"}, nil, "http://site/james/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := start(t, newServer(t, tt.config), tell)[0].String()
			status, text := get(t, dialer("tcp", addr), "http://site/", tt.header...)
			var got string
			if status != http.StatusOK {
				got = "400 " + strings.TrimSpace(text)
			} else {
				fields := strings.Fields(text)
				got = fields[1]
				if from := strings.TrimPrefix(fields[4], "from="); !strings.HasPrefix(from,
					"127.0.0.1:") {
					got += " from " + from
				}
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// The path keeps what is not of the prefix, and the script name is always set.
func TestURLPrefix(t *testing.T) {
	t.Parallel()
	addr := start(t, newServer(t, server.Config{URLPrefix: "/james"}), tell)[0].String()
	for path, want := range map[string]string{
		"/james/x": "/x", "/x": "/x",
		"/jamestown": "/jamestown", "/james": "/",
	} {
		_, text := get(t, dialer("tcp", addr), "http://site"+path)
		if !strings.Contains(text, `script="/james" path="`+want+`"`) {
			t.Errorf("%s: got %s, want the path %s", path, text, want)
		}
	}
}

// What is not believed is removed, if the configuration says so; and what is believed has only what
// proxies have added.
func TestClearProxyHeaders(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var names []string
		for _, name := range []string{
			"Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
			"X-Forwarded-Scheme",
		} {
			if value := r.Header.Get(name); value != "" {
				names = append(names, name+"="+value)
			}
		}
		w.Write([]byte(strings.Join(names, " ")))
	})
	sent := []string{
		"Forwarded", "for=1.2.3.4", "X-Forwarded-For", "9.9.9.9, 1.2.3.4",
		"X-Forwarded-Host", "evil", "X-Forwarded-Scheme", "https",
	}
	tests := []struct {
		name   string
		config server.Config
		want   string
	}{
		{"left", server.Config{}, "Forwarded=for=1.2.3.4 X-Forwarded-For=9.9.9.9, 1.2.3.4 " +
			"X-Forwarded-Host=evil X-Forwarded-Scheme=https"},
		{"cleared", server.Config{ClearUntrustedProxyHeaders: true}, ""},
		{
			"one believed",
			server.Config{
				ClearUntrustedProxyHeaders: true,
				TrustedProxy:               []string{"127.0.0.1"}, TrustedProxyHeaders: []string{"X-Forwarded-For"},
			},
			"X-Forwarded-For=1.2.3.4",
		},
		{"believed, nothing cleared", server.Config{
			TrustedProxy:        []string{"127.0.0.1"},
			TrustedProxyHeaders: []string{"X-Forwarded-For"},
		}, "Forwarded=for=1.2.3.4 " +
			"X-Forwarded-For=1.2.3.4 X-Forwarded-Host=evil X-Forwarded-Scheme=https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := start(t, newServer(t, tt.config), echo)[0].String()
			if _, got := get(t, dialer("tcp", addr), "http://site/", sent...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// The peer of a unix socket has no address: the socket itself is what is trusted.
func TestProxyOnUnixSocket(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	for name, peers := range map[string]string{
		"any": "unix", "localhost": "localhost",
		"one": "unix:" + filepath.Join(dir, "one"), "not": "127.0.0.1",
	} {
		path := filepath.Join(dir, name)
		start(t, newServer(t, server.Config{UnixSocket: path, TrustedProxy: []string{peers}}), tell)
		_, text := get(t, dialer("unix", path), "http://site/", "X-Forwarded-Proto", "https")
		if got := strings.Contains(text, "https://site/"); got != (name != "not") {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

func TestProxyFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, section, want string }{
		{"nobody to believe", "trusted_proxy_count = 2", "site.ini:3: [server:main] " +
			"trusted_proxy_count = \"2\": means nothing without trusted_proxy"},
		{
			"no fields of", "trusted_proxy_headers = forwarded",
			"trusted_proxy_headers = \"forwarded\": means nothing without trusted_proxy",
		},
		{
			"unknown field", "trusted_proxy = *\ntrusted_proxy_headers = x-real-ip",
			`site.ini:4: [server:main] trusted_proxy_headers = "x-real-ip": "x-real-ip" is ` +
				`not known`,
		},
		{
			"both kinds", "trusted_proxy = *\ntrusted_proxy_headers = forwarded x-forwarded-for",
			"exclude each other",
		},
		{"no address", "trusted_proxy = proxy.example.org", `"proxy.example.org" is no proxy`},
		{"scheme", "url_scheme = gopher", "url_scheme"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, nil, "use = egg:waitress#main\n"+tt.section); err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func BenchmarkProxyHeaders(b *testing.B) {
	s, err := server.New(server.Config{ClearUntrustedProxyHeaders: true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	h := s.Translated(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(nil, r)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::1]:99";host=example.org;proto=https`, "forwarded")
	f.Add("1.2.3.4, 5.6.7.8", "x-forwarded-for")
	f.Add("a:b:c", "x-forwarded-host")
	f.Fuzz(func(t *testing.T, value, name string) {
		if _, known := map[string]bool{
			"forwarded": true, "x-forwarded-for": true,
			"x-forwarded-host": true, "x-forwarded-proto": true,
		}[name]; !known {
			return
		}
		s, err := server.New(server.Config{
			TrustedProxy:        []string{"*"},
			TrustedProxyHeaders: []string{name}, ClearUntrustedProxyHeaders: true,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		before := r.Clone(t.Context())
		translated, err := s.Translate(r)
		if r.Host != before.Host || r.URL.String() != before.URL.String() ||
			r.Header.Get(name) != value {
			t.Error("the request itself was changed")
		}
		if err == nil && (translated.URL.Path != "/x" || strings.ContainsAny(translated.Host,
			"/?# \r\n")) {
			t.Errorf("%s: %q gives host %q, path %q", name, value, translated.Host,
				translated.URL.Path)
		}
	})
}

// Whatever the fields say, what an app sees has a scheme, a host and an address that can be; and
// what a peer says that is not trusted changes nothing.
func FuzzTranslate(f *testing.F) {
	for _, seed := range [][2]string{
		{"1.2.3.4, 5.6.7.8", `for="[::1]:80";host=a;proto=https, for=_x`},
		{"fe80::1%eth0", "proto=http;;"},
		{`"1.2.3.4:5"`, "host=\"a\\\"b\""},
		{"unknown", "for"},
	} {
		f.Add(seed[0], "example.org", "8443", "https", seed[1], 2)
	}
	f.Fuzz(func(t *testing.T, client, host, port, scheme, standard string, count int) {
		for _, fields := range []string{"x-forwarded-for x-forwarded-host x-forwarded-port " +
			"x-forwarded-proto", "forwarded"} {
			s := newServer(t, server.Config{
				TrustedProxy: []string{"127.0.0.1"}, TrustedProxyHeaders: strings.Fields(fields),
				TrustedProxyCount: 1 + (count & 3), ClearUntrustedProxyHeaders: true,
			})
			for _, peer := range []string{"127.0.0.1:9", "10.0.0.1:9"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
				r.RemoteAddr = peer
				for name, value := range map[string]string{
					"X-Forwarded-For": client, "X-Forwarded-Host": host, "X-Forwarded-Port": port,
					"X-Forwarded-Proto": scheme, "Forwarded": standard,
				} {
					r.Header.Set(name, value)
				}
				got, err := s.Translate(r)
				if err != nil {
					if peer != "127.0.0.1:9" {
						t.Errorf("%s is not trusted, and refused for what it says: %v", peer, err)
					}
					continue
				}
				if peer != "127.0.0.1:9" && (got.RemoteAddr != peer || got.Host != r.Host ||
					got.URL.String() != "/x" || len(got.Header) > 0) {
					t.Errorf("%s is not trusted, and believed: %s %s %s %v", peer, got.RemoteAddr,
						got.Host, got.URL, got.Header)
				}
				if _, err := netip.ParseAddrPort(got.RemoteAddr); err != nil {
					t.Errorf("the address %q: %v", got.RemoteAddr, err)
				}
				if scheme := got.URL.Scheme; scheme != "" && scheme != "http" && scheme != "https" {
					t.Errorf("the scheme %q", scheme)
				}
				if u, err := url.Parse("http://" + got.Host + "/"); err != nil ||
					u.Host != got.Host || u.Path != "/" {
					t.Errorf("the host %q: %v", got.Host, err)
				}
			}
		}
	})
}
