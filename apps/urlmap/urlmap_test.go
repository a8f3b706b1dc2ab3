package urlmap_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// show returns an app that answers with its name and the path it gets.
func show(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s script_name=%q path_info=%q", name, mount.FromContext(r.Context()),
			r.URL.EscapedPath())
	})
}

func shows(places ...string) map[string]http.Handler {
	apps := map[string]http.Handler{}
	for _, place := range places {
		apps[place] = show(place)
	}
	return apps
}

// TestPaths begins with the cases of Paste's own test of urlmap.
func TestPaths(t *testing.T) {
	t.Parallel()
	app, err := urlmap.New(urlmap.Config{Apps: shows("/", "/foo", "/foo/bar", "/f", "/über//uns/")})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	tests := []struct {
		name   string
		target string
		want   string
	}{
		{"root", "/", `/ script_name="" path_info="/"`},
		{"root below", "/blah", `/ script_name="" path_info="/blah"`},
		{"foo", "/foo/and/more", `/foo script_name="/foo" path_info="/and/more"`},
		{"longest first", "/foo/bar/baz", `/foo/bar script_name="/foo/bar" path_info="/baz"`},
		{"another word", "/fffzzz", `/ script_name="" path_info="/fffzzz"`},
		{"f", "/f/z/y", `/f script_name="/f" path_info="/z/y"`},
		{"exact", "/foo", `/foo script_name="/foo" path_info="/"`},
		{"slashes", "//foo///bar//baz", `/foo/bar script_name="/foo/bar" path_info="/baz"`},
		{"slashes at the root", "/x//y", `/ script_name="" path_info="/x/y"`},
		{"escaped slash stays", "/foo/a%2Fb", `/foo script_name="/foo" path_info="/a%2Fb"`},
		{"escaped slash is not a separator", "/foo%2Fb", `/ script_name="" path_info="/foo%2Fb"`},
		{"escaped slashes are two", "/f//a%2F/b", `/f script_name="/f" path_info="/a%2F/b"`},
		{"escaped letters", "/%66oo/x", `/foo script_name="/foo" path_info="/x"`},
		{"not ascii", "/%C3%BCber/uns/x", `/über//uns/ script_name="/über/uns" path_info="/x"`},
		{"dots are passed on", "/f/../foo", `/f script_name="/f" path_info="/../foo"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				server.URL+tt.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got := string(body); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	app, err := urlmap.New(urlmap.Config{Apps: shows("/", "/very/long/path", "domain a.org",
		"domain A.org /x", "domain a.org port 8080",
		"domain a.org port 8080 /x/y", "domain b.org port 443 y", "domain [::1] port 80")})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		host   string
		https  bool
		target string
		want   string
	}{
		{"none", "c.org", false, "/x", "/"},
		{"domain", "a.org", false, "/", "domain a.org"},
		{"case", "A.ORG", false, "/", "domain a.org"},
		{"before longer paths without one", "a.org", false, "/very/long/path", "domain a.org"},
		{"path", "a.org", false, "/x/z", "domain A.org /x"},
		{"any port", "a.org:99", false, "/x/z", "domain A.org /x"},
		{"port", "a.org:8080", false, "/z", "domain a.org port 8080"},
		{"longer path before port", "a.org:8080", false, "/x/z", "domain A.org /x"},
		{"path and port", "a.org:8080", false, "/x/y/z", "domain a.org port 8080 /x/y"},
		{"http's port", "b.org", false, "/y", "/"},
		{"https's port", "b.org", true, "/y/z", "domain b.org port 443 y"},
		{"no match is not found", "b.org", true, "/z", "/"},
		{"address", "[::1]", false, "/", "domain [::1] port 80"},
		{"no host", "", false, "/", "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			r.Host = tt.host
			if tt.https {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			app.ServeHTTP(w, r)
			if got, _, _ := strings.Cut(w.Body.String(), " script_name"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	inner := urlmap.Config{Apps: shows("/x", "domain a.org port 1 /y")}
	get := func(c urlmap.Config, target string) *httptest.ResponseRecorder {
		t.Helper()
		app, err := urlmap.New(c)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := urlmap.New(urlmap.Config{Apps: map[string]http.Handler{"/in": app}})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		outer.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		return w
	}
	w := get(inner, "/in/<script>")
	if w.Code != http.StatusNotFound || w.Body.String() != "Not Found\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	inner.Debug = true
	w = get(inner, "/in/%3Cscript%3E")
	for _, want := range []string{`"/<script>"`, `"/in"`, "  /x\n", "  domain a.org port 1 /y\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %q, want %q in it", w.Body, want)
		}
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %q: a browser could take this for HTML", got)
	}
	inner.NotFound = show("lost")
	if w = get(inner, "/in//z"); w.Body.String() != `lost script_name="/in" path_info="/z"` {
		t.Errorf("got %s", w.Body)
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		place   string
		wantErr string
	}{
		{"blog", `place "blog": a path begins with a slash: write "/blog"`},
		{"/a b", `place "/a b": "b" is a second path: want one path, without blanks`},
		{"domain", `place "domain": a name is missing after "domain", such as example.org`},
		{"domain a port", `place "domain a port": a number is missing after "port", such as 8080`},
		{"domain a domain b", `place "domain a domain b": "domain" is given twice: want one`},
		{
			"domain a port 1 port 2",
			`place "domain a port 1 port 2": "port" is given twice: want one`,
		},
		{
			"port 80 /",
			`place "port 80 /": a port needs a domain: write "domain example.org port 80 /"`,
		},
		{
			"domain a port http",
			`place "domain a port http": "http" is not a port: want a number from 1 to 65535`,
		},
		{
			"domain a port 0",
			`place "domain a port 0": "0" is not a port: want a number from 1 to 65535`,
		},
		{"domain a:80", `place "domain a:80": "a:80" is not a domain: write "domain example.org ` +
			`port 8080 /path", with blanks in between`},
		{"domain a/x", `place "domain a/x": "a/x" is not a domain: write "domain example.org ` +
			`port 8080 /path", with blanks in between`},
		{"http", `place "http": a place is not a URL (and a key of an .ini file ends at its ` +
			`first colon): write "domain example.org /path"`},
		{"http://a/x", `place "http://a/x": a place is not a URL (and a key of an .ini file ends ` +
			`at its first colon): write "domain example.org /path"`},
	}
	for _, tt := range tests {
		t.Run(tt.place, func(t *testing.T) {
			t.Parallel()
			if _, err := urlmap.New(urlmap.Config{Apps: shows(tt.place)}); err == nil ||
				err.Error() != tt.wantErr {
				t.Errorf("got %v, want %s", err, tt.wantErr)
			}
		})
	}
	if _, err := urlmap.New(urlmap.Config{Apps: shows("/a", "/a/")}); err == nil ||
		!strings.Contains(err.Error(), "/a is given twice") {
		t.Errorf("got %v", err)
	}
	if _, err := urlmap.New(urlmap.Config{Apps: map[string]http.Handler{"/a": nil}}); err == nil {
		t.Error("an app that is nil is accepted")
	}
}

// load builds an .ini file whose apps answer with their names.
func load(ctx context.Context, ini string, logger *slog.Logger) (*pipeline.Pipeline, error) {
	registry := pipeline.NewRegistry()
	urlmap.Register(registry)
	pipeline.App(registry, "egg:test#show",
		func(b *pipeline.Build, s struct{ Name string }) (http.Handler, error) {
			return show(s.Name), nil
		})
	return pipeline.Load(ctx, "site.ini", pipeline.Options{
		Registry: registry, Logger: logger,
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

const sections = `
[app:home]
use = egg:test#show
name = home
[app:lost]
use = egg:test#show
name = lost
[app:api]
use = egg:test#show
name = api
`

func TestFromINI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ini  string
		want map[string]string // the answer to each request target
	}{
		{
			"places", "[composite:main]\nuse = egg:Paste#urlmap\n/ = home\n/API: api\ndomain " +
				"example.com port 80 /v2 = api\n",
			map[string]string{"/x": "home", "/API/x": "api", "/api/x": "home", "/v2/x": "api"},
		},
		{
			"own not found", "[composite:main]\nuse = egg:pasteline#urlmap\n/api = " +
				"api\nnot_found_app = lost\n",
			map[string]string{"/": "lost", "/api": "api"},
		},
		{
			"global not found", "[DEFAULT]\nnot_found_app = lost\n[composite:main]\nuse = " +
				"egg:Paste#urlmap\n/api = api\n",
			map[string]string{"/": "lost"},
		},
		{
			"the last one counts", "[composite:main]\npaste.composite_factory = " +
				"paste.urlmap:urlmap_factory\n/api/ = home\n/api = api\n",
			map[string]string{"/api/x": "api"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t.Context(), tt.ini+sections, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			got := map[string]string{}
			for target := range maps.Keys(tt.want) {
				w := httptest.NewRecorder()
				p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				got[target], _, _ = strings.Cut(w.Body.String(), " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.name == "the last one counts" && len(p.Warnings()) != 1 {
				t.Errorf("got warnings %v, want one", p.Warnings())
			}
		})
	}
}

func TestFromINIErrors(t *testing.T) {
	t.Parallel()
	_, err := load(t.Context(), `[composite:main]
use = egg:Paste#urlmap
/ = hom
http://example.com/ = home
port 8 / = home
/api = api
not_found_app = los
`+sections, nil)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		`site.ini:3: [composite:main] / = "hom": `,
		`site.ini:4: [composite:main] http = "//example.com/ = home": place "http": a place ` +
			`is not a URL`,
		`site.ini:5: [composite:main] port 8 / = "home": place "port 8 /": a port needs a domain`,
		`site.ini:7: [composite:main] not_found_app = "los": `,
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("got\n%s\nwant line %d to begin with %s", err, i+1, want)
		}
	}
	if len(lines) != 4 {
		t.Errorf("got\n%s", err)
	}
}

func BenchmarkServe(b *testing.B) {
	app, err := urlmap.New(urlmap.Config{Apps: map[string]http.Handler{
		"/":     http.NotFoundHandler(),
		"/blog": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}})
	if err != nil {
		b.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/blog/1", nil)
	b.ReportAllocs()
	for b.Loop() {
		app.ServeHTTP(w, r)
	}
}

// Parsing any key does not panic, and the printed form of a place parses to the same place.
func FuzzPlace(f *testing.F) {
	for _, seed := range []string{
		"/", "/blog", "domain a.org port 80 /x", "domain [::1]", "port 1",
		"domain a x", "http",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		printed, err := urlmap.ParsePlace(key)
		if err != nil {
			return
		}
		if again, err := urlmap.ParsePlace(printed); err != nil || again != printed {
			t.Errorf("%q is %q is %q, %v", key, printed, again, err)
		}
	})
}
