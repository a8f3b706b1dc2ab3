package prefix_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/prefix"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// seen is the request that an app behind the filter receives.
type seen struct {
	URL, Script, Path, Host, Remote string
}

func see(r *http.Request) seen {
	return seen{
		mount.URL(r, "/"), mount.FromContext(r.Context()), r.URL.EscapedPath(), r.Host,
		r.RemoteAddr,
	}
}

// through sends r through the filter.
func through(t *testing.T, c prefix.Config, r *http.Request) (seen, http.Header) {
	t.Helper()
	filter, err := prefix.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var inside *http.Request
	filter(http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request,
	) {
		inside = r
	})).ServeHTTP(httptest.NewRecorder(), r)
	return see(inside), inside.Header
}

func TestPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		prefix string
		target string
		script string
		path   string
	}{
		{"none", "", "/x", "", "/x"},
		{"slash is none", "/", "/x", "", "/x"},
		{"the proxy has removed it", "/james", "/x", "/james", "/x"},
		{"the proxy has kept it", "/james", "/james/x", "/james", "/x"},
		{"slash at the end", "/james/", "/james/x", "/james", "/x"},
		{"exact", "/james", "/james", "/james", "/"},
		{"another word", "/james", "/jamestown", "/james", "/jamestown"},
		{"no pattern", "/j.mes", "/james/x", "/j.mes", "/james/x"},
		{"not ascii", "/über", "/%C3%BCber/x", "/über", "/x"},
		{"escaped rest", "/james", "/james/a%2Fb", "/james", "/a%2Fb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _ := through(t, prefix.Config{Prefix: tt.prefix},
				httptest.NewRequest(http.MethodGet, tt.target, nil))
			if got.Script != tt.script || got.Path != tt.path {
				t.Errorf("got %q, %q, want %q, %q", got.Script, got.Path, tt.script, tt.path)
			}
		})
	}
}

// A filter behind a urlmap keeps the script name, unless it has a prefix of its own.
func TestScriptNameOfURLMap(t *testing.T) {
	t.Parallel()
	for own, want := range map[string]string{"/": "/blog", "/james": "/james", "/blog": "/blog"} {
		r, _ := mount.Cut(httptest.NewRequest(http.MethodGet, "/blog/x", nil), "/blog")
		got, _ := through(t, prefix.Config{Prefix: own}, r)
		if got.Script != want || got.Path != "/x" {
			t.Errorf("%s: got %q, %q", own, got.Script, got.Path)
		}
	}
}

// all are the fields that can be trusted.
var all = []string{
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-scheme",
	"x-forwarded-server",
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	type header = http.Header
	plain := seen{"http://inner.example/", "", "/x", "inner.example", "10.0.0.1:5555"}
	with := func(change func(*seen)) seen {
		s := plain
		change(&s)
		return s
	}
	everything := header{
		"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Host": {"www.example.org"},
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-Server": {"proxy.example"},
	}
	translated := seen{"https://www.example.org/", "", "/x", "www.example.org", "203.0.113.9:0"}
	tests := []struct {
		name    string
		config  prefix.Config
		remote  string
		header  header
		want    seen
		removed bool // the fields are removed
	}{
		{"no forwarded fields", prefix.Config{}, "", nil, plain, true},
		{"no proxy is trusted", prefix.Config{}, "", everything, plain, false},
		{"another is trusted", prefix.Config{TrustedProxies: []string{
			"10.0.0.2", "10.1.0.0/16",
			"unix",
		}}, "", everything, plain, false},
		{
			"address",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"", everything,
			translated, true,
		},
		{
			"network",
			prefix.Config{TrustedProxies: []string{"127.0.0.1,", "10.0.0.0/8"}},
			"",
			everything, translated, true,
		},
		{
			"IPv6",
			prefix.Config{TrustedProxies: []string{"fd00::/8"}},
			"[fd00::1%eth0]:99",
			everything, translated, true,
		},
		{
			"IPv4 as IPv6",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"[::ffff:10.0.0.1]:99", everything, translated, true,
		},
		{
			"translation is off",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}, IgnoreForwarded: true},
			"", everything, plain, false,
		},
		{
			"no address",
			prefix.Config{TrustedProxies: []string{"10.0.0.1", "unix"}},
			"@", everything,
			with(func(s *seen) { s.Remote = "@" }), false,
		},
		{
			"a host that nobody named",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{
				"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"},
				"X-Forwarded-Host":   {"evil.example"},
				"X-Forwarded-Server": {"evil.example"}, "X-Forwarded-Scheme": {"http"},
			},
			with(func(s *seen) {
				s.URL, s.Remote = "https://inner.example/",
					"203.0.113.9:0"
			}), true,
		},
		{
			"the host alone",
			prefix.Config{
				TrustedProxies:      []string{"10.0.0.1"},
				TrustedProxyHeaders: []string{"x-forwarded-host,"},
			},
			"", everything,
			with(func(s *seen) {
				s.Host, s.URL = "www.example.org",
					"http://www.example.org/"
			}), true,
		},
		{
			"server",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{"X-Forwarded-Server": {"a.org"}},
			with(func(s *seen) { s.Host, s.URL = "a.org", "http://a.org/" }), true,
		},
		{
			"scheme before proto",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{"X-Forwarded-Scheme": {"HTTPS"}, "X-Forwarded-Proto": {"http"}},
			with(func(s *seen) { s.URL = "https://inner.example/" }), true,
		},
		{
			"what can't be",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{
				"X-Forwarded-Proto": {"javascript"}, "X-Forwarded-Host": {"a/b"},
				"X-Forwarded-Server": {"u@h"}, "X-Forwarded-For": {"unknown"},
			},
			plain, true,
		},
		{
			"the visitor's own claims",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{
				"X-Forwarded-For":   {"1.1.1.1, 10.0.0.1", "203.0.113.9"},
				"X-Forwarded-Host":  {"evil.example, www.example.org"},
				"X-Forwarded-Proto": {"http, https"},
			},
			translated, true,
		},
		{
			"two proxies",
			prefix.Config{TrustedProxies: []string{"10.0.0.0/24"}},
			"",
			header{
				"X-Forwarded-For":   {"1.1.1.1, 203.0.113.9, 10.0.0.7"},
				"X-Forwarded-Host":  {"evil.example, www.example.org, middle.example"},
				"X-Forwarded-Proto": {"https"},
			},
			translated, true,
		},
		{
			"a proxy is the visitor",
			prefix.Config{TrustedProxies: []string{"10.0.0.0/24"}},
			"",
			header{
				"X-Forwarded-For":  {"10.0.0.7"},
				"X-Forwarded-Host": {"evil.example, www.example.org"},
			},
			with(func(s *seen) {
				s.Host, s.URL, s.Remote = "www.example.org",
					"http://www.example.org/", "10.0.0.7:0"
			}), true,
		},
		{
			"unknown in the middle",
			prefix.Config{TrustedProxies: []string{"10.0.0.0/24"}},
			"",
			header{"X-Forwarded-For": {"1.1.1.1, unknown, 10.0.0.7"}},
			with(func(s *seen) { s.Remote = "10.0.0.7:0" }), true,
		},
		{
			"with a port",
			prefix.Config{TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{"X-Forwarded-For": {"[2001:db8::1]:443"}},
			with(func(s *seen) { s.Remote = "[2001:db8::1]:0" }), true,
		},
		{
			"force_port",
			prefix.Config{ForcePort: 8080},
			"", nil,
			with(func(s *seen) {
				s.Host, s.URL = "inner.example:8080",
					"http://inner.example:8080/"
			}), true,
		},
		{
			"force_port after the proxy",
			prefix.Config{ForcePort: prefix.DefaultPort, TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{"X-Forwarded-Host": {"a.org:99"}},
			with(func(s *seen) { s.Host, s.URL = "a.org", "http://a.org/" }), true,
		},
		{
			"scheme after the proxy",
			prefix.Config{Scheme: "https", TrustedProxies: []string{"10.0.0.1"}},
			"",
			header{"X-Forwarded-Proto": {"http"}},
			with(func(s *seen) { s.URL = "https://inner.example/" }), true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.Host, r.RemoteAddr = "inner.example", "10.0.0.1:5555"
			if tt.remote != "" {
				r.RemoteAddr = tt.remote
			}
			if tt.want.Remote == plain.Remote {
				tt.want.Remote = r.RemoteAddr
			}
			r.Header = header{"Accept": {"*/*"}}
			maps.Copy(r.Header, tt.header)
			before := r.Header.Clone()
			if len(tt.config.TrustedProxies) > 0 && tt.config.TrustedProxyHeaders == nil &&
				!strings.HasPrefix(tt.name, "a host that nobody") {
				tt.config.TrustedProxyHeaders = all
			}
			got, inside := through(t, tt.config, r)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			want := before
			if tt.removed {
				want = header{"Accept": {"*/*"}}
			}
			if diff := cmp.Diff(want, inside); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, r.Header); diff != "" || r.Host != "inner.example" ||
				r.URL.Scheme != "" {
				t.Errorf("the request outside was changed: %s", diff)
			}
		})
	}
}

// If a client uses http to a proxy that uses TLS to the server, the scheme is http.
func TestSchemeOfTLS(t *testing.T) {
	t.Parallel()
	for scheme, want := range map[string]string{
		"http":  "http://example.com/",
		"https": "https://example.com/", "": "https://example.com/",
	} {
		r := httptest.NewRequest(http.MethodGet, "https://example.com/x", nil) // with TLS
		r.URL.Scheme, r.URL.Host = "", ""
		if got, _ := through(t, prefix.Config{Scheme: scheme}, r); got.URL != want {
			t.Errorf("%s: got %s, want %s", scheme, got.URL, want)
		}
	}
}

func TestForcePortOfIPv6(t *testing.T) {
	t.Parallel()
	for port, want := range map[int]string{
		8080: "[::1]:8080", prefix.DefaultPort: "[::1]",
		0: "[::1]:99",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "[::1]:99"
		if got, _ := through(t, prefix.Config{ForcePort: port}, r); got.Host != want {
			t.Errorf("%d: got %q, want %q", port, got.Host, want)
		}
	}
}

// A proxy that connects to a unix socket is trusted by the word unix.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	for trusted, want := range map[string]string{"unix": "https://a.org/", "unix:" +
		path: "https://a.org/", "unix:/run/other": "http://inner/", "10.0.0.0/8": "http://inner/"} {
		filter, err := prefix.New(prefix.Config{
			TrustedProxies:      []string{trusted},
			TrustedProxyHeaders: all,
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(filter(http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request,
		) {
			io.WriteString(w, mount.URL(r, "/"))
		})))
		_ = server.Listener.Close()
		if server.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "unix",
			path); err != nil {
			t.Fatal(err)
		}
		server.Start()
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _,
			_ string,
		) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://inner/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-Host", "a.org")
		r.Header.Set("X-Forwarded-Proto", "https")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		client.CloseIdleConnections()
		server.Close()
		if string(body) != want {
			t.Errorf("%s: got %s, want %s", trusted, body, want)
		}
	}
}

func TestUntrustedProxyIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	filter, err := prefix.New(prefix.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h := filter(http.NotFoundHandler())
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Forwarded-For", "1.1.1.1")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "trusted_proxies") || !strings.Contains(got, "192.0.2.1") {
		t.Errorf("got %q", got)
	}
}

func load(ctx context.Context, lines string) (*pipeline.Pipeline, error) {
	registry := pipeline.NewRegistry()
	prefix.Register(registry)
	pipeline.App(registry, "egg:test#see", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%+v",
				see(r))
		}), nil
	})
	ini := "[app:main]\nuse = egg:test#see\nfilter-with = proxy\n[filter:proxy]\n" + lines
	return pipeline.Load(ctx, "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		lines        string
		want         string
		wantWarnings int
	}{
		{
			"original", "use = egg:PasteDeploy#prefix\nprefix = /james\n",
			"{URL:http://inner:99/james/ Script:/james Path:/x Host:inner:99 " +
				"Remote:192.0.2.1:1234}", 0,
		},
		{
			"all", "use = egg:pasteline#prefix\nprefix = /james\nforce_port =\nscheme = " +
				"https\ntrusted_proxies =\n  10.0.0.1\n  192.0.2.0/24\ntrusted_proxy_headers = " +
				"x-forwarded-for X-Forwarded-Host\n",
			"{URL:https://a.org/james/ Script:/james Path:/x Host:a.org Remote:1.1.1.1:0}", 0,
		},
		{
			"off", "paste.filter_factory = " +
				"paste.deploy.config:make_prefix_middleware\ntranslate_forwarded_server = " +
				"no\nforce_port = 80\ntrusted_proxies = 192.0.2.1\n",
			"{URL:http://inner:80/ Script: Path:/x Host:inner:80 Remote:192.0.2.1:1234}", 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t.Context(), tt.lines)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.Host = "inner:99"
			r.Header = http.Header{
				"X-Forwarded-Host": {"a.org:8080"},
				"X-Forwarded-For":  {"1.1.1.1"},
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			if w.Body.String() != tt.want || len(p.Warnings()) != tt.wantWarnings {
				t.Errorf("got %s, want %s; warnings %v", w.Body, tt.want, p.Warnings())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	_, err := load(t.Context(), `use = egg:PasteDeploy#prefix
prefix = james
scheme = gopher
trusted_proxies = localhost 10.0.0.1/8 ::ffff:10.0.0.0/104
`)
	want := `site.ini:6: [filter:proxy] prefix = "james": want a path that begins with a slash, such as "/james"
site.ini:7: [filter:proxy] scheme = "gopher": want http or https
site.ini:8: [filter:proxy] trusted_proxies = "localhost 10.0.0.1/8 ::ffff:10.0.0.0/104": "localhost" is no proxy: want an address such as 127.0.0.1, a network such as 10.0.0.0/8, or unix
site.ini:8: [filter:proxy] trusted_proxies = "localhost 10.0.0.1/8 ::ffff:10.0.0.0/104": "10.0.0.1/8" is no network: do you mean 10.0.0.0/8, or the address 10.0.0.1 alone?
site.ini:8: [filter:proxy] trusted_proxies = "localhost 10.0.0.1/8 ::ffff:10.0.0.0/104": "::ffff:10.0.0.0/104" is an IPv4 network written as IPv6: write it as IPv4`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	_, err = load(t.Context(), "use = egg:PasteDeploy#prefix\nforce_port = http\n")
	if want := `site.ini:6: [filter:proxy] force_port = "http": want a port from 1 to 65535, or ` +
		`nothing for the scheme's default`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := prefix.New(prefix.Config{ForcePort: 70000}); err == nil {
		t.Error("port 70000 is accepted")
	}
}

// With any header, the filter does not panic, and the client's address is never one that only an
// untrusted client has sent.
func FuzzForwarded(f *testing.F) {
	f.Add("1.1.1.1", "a.org", "https", true)
	f.Add("1.1.1.1, [::1]:9,,unknown", "a.org, b.org:1", "x", true)
	f.Add("", "@[", ",", false)
	filter, err := prefix.New(prefix.Config{
		TrustedProxies:      []string{"192.0.2.1"},
		TrustedProxyHeaders: all,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, claim, host, scheme string, trusted bool) {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		if !trusted {
			r.RemoteAddr = "198.51.100.1:1"
		}
		r.Header = http.Header{
			"X-Forwarded-For":  {claim + ", 203.0.113.9"},
			"X-Forwarded-Host": {host}, "X-Forwarded-Proto": {scheme},
		}
		filter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			want := "203.0.113.9:0"
			if !trusted {
				want = "198.51.100.1:1"
				if r.Host != "example.com" || r.URL.Scheme != "" {
					t.Errorf("an untrusted field was used: %q, %q", r.Host, r.URL.Scheme)
				}
			}
			if r.RemoteAddr != want {
				t.Errorf("got %s, want %s", r.RemoteAddr, want)
			}
			if strings.ContainsAny(r.Host, " /?#@\r\n") {
				t.Errorf("%q was used as host", r.Host)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	})
}
