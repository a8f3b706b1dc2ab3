package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/apps/health"
	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
)

// A sick is an engine whose database fails or does not answer.
type sick struct {
	engine.Engine
	fails, hangs *atomic.Bool
	asked        *atomic.Int64
	end          chan struct{}
}

func (s *sick) Begin(ctx context.Context) (engine.View, error) {
	s.asked.Add(1)
	switch {
	case s.hangs.Load():
		<-s.end // whatever ctx says
	case s.fails.Load():
		return nil, errors.New("can't connect to postgres://site:xyzzy@host/db")
	}
	return s.Engine.Begin(ctx)
}

// A clinic is a site with the app and a database that can be made sick.
type clinic struct {
	*pipeline.Pipeline
	fails, hangs atomic.Bool
	asked        atomic.Int64
	site         *status.Site
	dir          string
}

func newClinic(t *testing.T, more string) *clinic {
	t.Helper()
	c := &clinic{site: new(status.Site), dir: t.TempDir()}
	r := pipeline.NewRegistry()
	health.Register(r)
	urlmap.Register(r)
	status.Register(r, c.site)
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	r.Engine("sick", func(context.Context, *url.URL) (engine.Engine, error) {
		return &sick{
			Engine: memory.New("x").Engine(), fails: &c.fails, hangs: &c.hangs, asked: &c.asked,
			end: end,
		}, nil
	})
	pipeline.App(r, "egg:test#app", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		_, err := b.Storage("sick://site:xyzzy@host")
		return http.NotFoundHandler(), err
	})
	var err error
	c.Pipeline, err = pipeline.Load(t.Context(), filepath.Join(c.dir, "site.ini"), pipeline.Options{
		Registry: r, ReadFile: func(string) ([]byte, error) {
			return []byte("[composite:main]\nuse = egg:Paste#urlmap\n/ = egg:test#app\n" +
				"/health = health\n[app:health]\nuse = egg:pasteline#health\ntimeout = 50ms\n" +
				more), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get asks as a client on this machine, or as one elsewhere.
func (c *clinic) get(path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

func (c *clinic) want(t *testing.T, path string, code int, body string,
	change ...func(*http.Request),
) {
	t.Helper()
	if w := c.get(path, change...); w.Code != code || w.Body.String() != body {
		t.Errorf("%s: got %d %q, want %d %q", path, w.Code, w.Body, code, body)
	}
}

func elsewhere(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }

const (
	live  = "OK\n"
	ready = "OK\nserver: ok\nrecovery: ok\ndatabase sick://***@host: ok\n"
)

func TestReady(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	c.want(t, "/health/live", 200, live)
	c.want(t, "/health/ready", 200, ready)
	c.want(t, "/health", 200, ready)
	c.want(t, "/health/", 200, ready)
	c.want(t, "/health/ready", 200, "OK\n", elsewhere)
	if w := c.get("/health/other"); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
	w := c.get("/health/ready", func(r *http.Request) { r.Method = http.MethodPost })
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", w.Code)
	}
}

// A database that fails makes the process unready, not dead. Its password is not shown, and clients
// elsewhere see no details.
func TestDatabaseFails(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	c.fails.Store(true)
	c.want(t, "/health/live", 200, live)
	c.want(t, "/health/ready", 503, "UNAVAILABLE\nserver: ok\nrecovery: ok\n"+
		"database sick://***@host: can't connect to postgres://***@host/db\n")
	c.want(t, "/health/ready", 503, "UNAVAILABLE\n", elsewhere)
	c.fails.Store(false)
	c.want(t, "/health/ready", 200, ready)
}

// A database that does not answer is waited for no longer than the time limit, by one goroutine
// however often the app is asked.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	c.hangs.Store(true)
	for range 3 {
		c.want(t, "/health/ready", 503, "UNAVAILABLE\nserver: ok\nrecovery: ok\n"+
			"database sick://***@host: no answer within 50ms\n")
	}
	if got := c.asked.Load(); got != 1 {
		t.Errorf("the database was asked %d times, want once", got)
	}
	c.want(t, "/health/live", 200, live)
}

func TestDraining(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	c.site.Drain()
	c.want(t, "/health/live", 200, live)
	c.want(t, "/health/ready", 503, strings.NewReplacer("OK", "UNAVAILABLE", "server: ok",
		"server: it is about to stop").Replace(ready))
}

func TestJSON(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	c.fails.Store(true)
	asJSON := func(r *http.Request) { r.Header.Set("Accept", "application/json") }
	w := c.get("/health", asJSON)
	var got any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"status": "UNAVAILABLE", "checks": []any{
		map[string]any{"name": "server", "ok": true},
		map[string]any{"name": "recovery", "ok": true},
		map[string]any{
			"name": "database sick://***@host", "ok": false,
			"error": "can't connect to postgres://***@host/db",
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, diff)
	}
	c.want(t, "/health", 503, `{"status":"UNAVAILABLE"}`+"\n", asJSON, elsewhere)
}

// The settings of oslo.middleware.
func TestDisableByFile(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "backends = disable_by_file\npath = /healthcheck\n"+
		"disable_by_file_path = off\ndetailed = false\n")
	c.want(t, "/health", 200, "OK\n")
	file := filepath.Join(c.dir, "off")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(t, "/health", 503, "UNAVAILABLE\n")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.want(t, "/health", 200, "OK\n")
}

// The names of oslo.middleware lead to the app, or to a hint.
func TestNames(t *testing.T) {
	t.Parallel()
	load := func(ini string) error {
		r := pipeline.NewRegistry()
		health.Register(r)
		p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
			Registry: r, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
		})
		if err != nil {
			return err
		}
		return p.Close()
	}
	for _, line := range []string{
		"paste.app_factory = oslo_middleware:Healthcheck.app_factory",
		"paste.app_factory = oslo_middleware.healthcheck:Healthcheck.app_factory",
		"use = egg:oslo.middleware#healthcheck", "use = egg:pasteline#health",
	} {
		if err := load("[app:main]\n" + line + "\n"); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	err := load("[pipeline:main]\npipeline = health app\n[app:app]\nuse = egg:pasteline#health\n" +
		"[filter:health]\npaste.filter_factory = oslo_middleware:Healthcheck.factory\n")
	if err == nil || !strings.Contains(err.Error(), "mount [app:health]") {
		t.Errorf("got %v", err)
	}
}
