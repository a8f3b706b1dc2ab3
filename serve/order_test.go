package serve_test

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
)

// registerLogin adds an app that keeps the name of a visitor in a session.
func registerLogin(r *pipeline.Registry) {
	pipeline.App(r, "egg:test#login", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		db, err := b.Storage("memory://login")
		if err != nil {
			return nil, err
		}
		sessions, err := session.NewManager(db, session.Config{})
		if err != nil {
			return nil, err
		}
		b.RequireSessions(sessions)
		routes := http.NewServeMux()
		routes.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.Renew(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
		routes.HandleFunc("/cart", func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Get(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			had, _, err := session.Get[string](s, "thing")
			if err = errors.Join(err, s.Set("thing", "book")); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, "had "+had)
		})
		return routes, nil
	})
}

// What check calls a fault fails, or loses a session, when requests come; what it warns of does not.
func TestOrderOfBrowserID(t *testing.T) {
	t.Parallel()
	const (
		lost = "had ; had "
		kept = "had ; had book"

		secret = "secret_key = 0123456789abcdef0123456789abcdef"
	)
	for _, tt := range []struct {
		name, filters, second string
		fault                 string
		cart                  string // of two requests of one browser
		login                 string // "" if it succeeds
	}{
		{name: "in front", filters: "one tm", cart: kept},
		{
			name: "behind tm", filters: "tm one", cart: kept, login: "the browserid filter stands behind tm",
			fault: "one stands behind tm (",
		},
		{
			name: "twice with one cookie", filters: "one two tm", cart: lost,
			fault: "two stands behind one (",
		},
		{
			name: "twice with one cookie and two secrets", filters: "one two tm", second: "secret_key = fedcba9876543210abcdef0123456789", cart: lost,
			fault: "two stands behind one (",
		},
		{name: "twice with two cookies", filters: "one two tm", second: secret + "\ncookie_name = other", cart: kept},
		{name: "twice, the outer one lazy", filters: "lazy two tm", cart: kept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, path := writeSite(t, `[pipeline:main]
pipeline = `+tt.filters+` login
[app:login]
use = egg:test#login
[filter:tm]
use = egg:repoze.tm2#tm
[filter:one]
use = egg:repoze.browserid#browserid
`+secret+`
[filter:lazy]
use = one
lazy = true
[filter:two]
use = egg:repoze.browserid#browserid
`+cmp.Or(tt.second, secret)+`
[server:main]
use = egg:Paste#http
port = 0
`)
			code, _, errs := run(t, "", []string{"check", path}, registerLogin)
			if tt.fault == "" && code != serve.ExitOK || tt.fault != "" && (code != serve.ExitFailed || !strings.Contains(errs, tt.fault)) {
				t.Errorf("check: exit code %d, %s", code, errs)
			}
			registry := pipeline.NewRegistry()
			serve.Standard(registry)
			registerLogin(registry)
			app, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: registry})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { app.Close() })
			server := httptest.NewServer(app)
			t.Cleanup(server.Close)
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			browser := server.Client()
			browser.Jar = jar
			ask := func(path string) string {
				response, err := browser.Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(body)
			}
			if got := ask("/cart") + "; " + ask("/cart"); got != tt.cart {
				t.Errorf("cart: got %q, want %q", got, tt.cart)
			}
			if got := ask("/in"); tt.login == "" && got != "" || !strings.Contains(got, tt.login) {
				t.Errorf("log-in: got %q, want %q", got, tt.login)
			}
		})
	}
}
