package urlmap_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/apps/cascade"
	"github.com/pasteline/pasteline/apps/echo"
	"github.com/pasteline/pasteline/apps/static"
	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/filters/config"
	"github.com/pasteline/pasteline/filters/prefix"
	"github.com/pasteline/pasteline/filters/translogger"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// pages returns an app on chi that does not know where it is mounted.
func pages(*pipeline.Build, struct{}) (http.Handler, error) {
	r := chi.NewRouter()
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		conf, _ := config.FromContext(r.Context())
		fmt.Fprintf(w, "%s, %s items, %s", conf.Text("title", ""), conf.Text("items_per_page", ""),
			mount.URL(r, "/login"))
	})
	r.Get("/page/{name}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w,
			"page "+chi.URLParam(r, "name"))
	})
	return r, nil
}

// TestSite runs a whole site of an .ini file with Paste's names on a real server.
func TestSite(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	for _, register := range []func(*pipeline.Registry){
		cascade.Register, config.Register, echo.Register, prefix.Register, static.Register,
		translogger.Register, urlmap.Register,
	} {
		register(registry)
	}
	pipeline.App(registry, "egg:test#pages", pages)
	pipeline.App(registry, "egg:test#lost", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "lost at "+mount.Join(r.Context(), r.URL.EscapedPath()),
				http.StatusNotFound)
		}), nil
	})
	var log bytes.Buffer
	site, err := pipeline.Load(t.Context(), "testdata/site/production.ini", pipeline.Options{
		Registry: registry, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(site.Warnings()) != 0 {
		t.Errorf("got warnings %v", site.Warnings())
	}
	done := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.7:1234" // the address of the proxy
		site.ServeHTTP(w, r)
		done <- struct{}{}
	}))
	t.Cleanup(server.Close)

	tests := []struct {
		name   string
		host   string
		target string
		want   int
		body   string // a part of the body
		log    string
	}{
		{
			"page", "", "/", 200, "The site, 20 items, https://www.example.org/james/login",
			`GET /james/\" 200 55`,
		},
		{"prefix in the path", "", "/james/page/a", 200, "page a", `GET /james/page/a\" 200 6`},
		{"file", "", "/style.css", 200, "color: black", `GET /james/style.css\" 200 22`},
		{"no such page", "", "/page/", 404, "404 page not found", `GET /james/page/\" 404 19`},
		{
			"blog", "", "/blog/", 200, "https://www.example.org/james/blog/login",
			`GET /james/blog/\" 200 60`,
		},
		{
			"blog without slash", "", "/blog", 200, "https://www.example.org/james/blog/login",
			`GET /james/blog\" 200 60`,
		},
		{
			"escaped", "", "/blog/page/a%2Fb", 200, "page a%2Fb",
			`GET /james/blog/page/a%2Fb\" 200 10`,
		},
		{"echo", "", "/echo/x?q", 200, "script name: \"/james/echo\"\npath: \"/x\"\nscheme: " +
			"https\nremote address: 203.0.113.9:0\n", `GET /james/echo/x?q\" 200 `},
		{"domain", "api.example.org", "/v1/page/b", 200, "page b", `GET /james/v1/page/b\" 200 6`},
	}
	for _, tt := range tests { // not in parallel, as each checks the log
		log.Reset()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+tt.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.Header.Set("X-Forwarded-Host", "www.example.org")
		if tt.host != "" {
			r.Header.Set("X-Forwarded-Host", tt.host)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		<-done
		if resp.StatusCode != tt.want || !strings.Contains(string(body), tt.body) {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, resp.StatusCode, body, tt.want, tt.body)
		}
		if !strings.Contains(log.String(), `203.0.113.9 \"`+tt.log) {
			t.Errorf("%s: got log %s, want %s", tt.name, &log, tt.log)
		}
	}
}
