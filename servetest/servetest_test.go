package servetest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/servetest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// The file of the tutorial, with its database in %(here)s.
const tutorial = "../development.ini"

func TestBrowsersHaveSessions(t *testing.T) {
	t.Parallel()
	site := servetest.New(t, tutorial, myapp.Register)
	one, other := site.Browser(), site.Browser()
	for _, step := range []struct {
		browser *servetest.Browser
		want    string
	}{{one, "1"}, {other, "1"}, {one, "2"}} {
		got := step.browser.PostForm("/incr", nil)
		if got.Status != http.StatusOK || strings.TrimSpace(got.Body) != step.want {
			t.Errorf("got %d %q, want %s", got.Status, got.Body, step.want)
		}
	}
	if got := one.Get("/read"); strings.TrimSpace(got.Body) != "2" || got.URL.Path != "/read" {
		t.Errorf("got %q at %s, want 2", got.Body, got.URL)
	}
	if items := records(t, site, "session"); len(items) == 0 {
		t.Error("the database of the site has no session")
	}
	if _, err := os.Stat(filepath.Join(site.Dir, "data.db")); err != nil {
		t.Error(err)
	}
}

// records returns what a bucket of the tutorial's database holds.
func records(t *testing.T, site *servetest.Site, bucket string) (items []storage.Item) {
	t.Helper()
	db := site.DB("bolt://%(here)s/data.db")
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		items, err = tx.Bucket(bucket).Items(storage.Range{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// Requests at the same time, and a body that is larger than any buffer between client and server.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	site := servetest.New(t, tutorial, myapp.Register)
	var visitors sync.WaitGroup
	for range 20 {
		visitors.Go(func() {
			if got := site.Browser().PostForm("/shared/incr", nil); got.Status != http.StatusOK {
				t.Errorf("got %d %q", got.Status, got.Body)
			}
		})
	}
	visitors.Wait()
	if got := site.Browser().Get("/shared"); strings.TrimSpace(got.Body) != "20" {
		t.Errorf("got %q, want 20", got.Body)
	}
	form := url.Values{"a": {strings.Repeat("x", 4<<20)}}
	if got := site.Browser().PostForm("/body", form); got.Status != http.StatusOK {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
}

// In a bubble the time-out of a session takes no time.
func TestSessionTimesOut(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"bolt://%(here)s/data.db", "memory://site"} {
		t.Run(strings.SplitN(uri, ":", 2)[0], func(t *testing.T) {
			t.Parallel()
			ini := write(t, "site.ini", strings.Replace(read(t, tutorial),
				"bolt://%(here)s/data.db", uri, 1))
			synctest.Test(t, func(t *testing.T) {
				browser := servetest.New(t, ini, myapp.Register).Browser()
				for _, step := range []struct {
					pause time.Duration
					want  string
				}{
					{0, "1"},
					{15 * time.Minute, "2"},
					{15 * time.Minute, "3"},
					{21 * time.Minute, "1"},
				} {
					time.Sleep(step.pause)
					got := browser.PostForm("/incr", nil)
					if strings.TrimSpace(got.Body) != step.want {
						t.Errorf("after %v: got %d %q, want %s", step.pause, got.Status, got.Body,
							step.want)
					}
				}
			})
		})
	}
}

func TestFilesOfTheFolder(t *testing.T) {
	t.Parallel()
	text := strings.Replace(read(t, tutorial), "secret_key = my-secret-key",
		"secret_key_file = %(here)s/secret", 1)
	folder := filepath.Dir(write(t, "base.ini", text))
	for name, text := range map[string]string{
		"secret":       strings.Repeat("0123456789abcdef", 4),
		"site.ini":     "[app:main]\nuse = config:base.ini\n",
		"sub/site.ini": "[app:other]\nuse = config:../base.ini\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"site.ini", "sub/site.ini#other"} {
		site := servetest.New(t, filepath.Join(folder, file), myapp.Register)
		if got := site.Browser().PostForm("/incr", nil); got.Status != http.StatusOK {
			t.Errorf("%s: got %d %q", file, got.Status, got.Body)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "data.db")); err == nil {
		t.Error("the database of the folder was opened")
	}
}

func TestOtherDatabases(t *testing.T) {
	t.Parallel()
	file := filepath.ToSlash(filepath.Join(t.TempDir(), "real.db"))
	uri := "bolt:///" + strings.TrimPrefix(file, "/")
	ini := write(t, "site.ini", strings.Replace(read(t, tutorial),
		"bolt://%(here)s/data.db", uri, 1))
	want := ini + ":6: [app:myapp] zodb_uri"
	said := failure(t, func(t *recorder) { servetest.New(t, ini, myapp.Register) })
	if !strings.Contains(said, want) || !strings.Contains(said, "not a database of the test") {
		t.Errorf("got %q, want %q", said, want)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the database was made")
	}
	config := servetest.Config{
		File: ini, Register: []func(*pipeline.Registry){myapp.Register},
		Set: []string{"app:myapp.zodb_uri=" + uri + "?lock_timeout=2s"},
	}
	if got := config.New(t).Browser().PostForm("/incr", nil); got.Status != http.StatusOK {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	ini := write(t, "site.ini", "[app:main]\nuse = egg:test#app\n")
	site := servetest.New(t, ini, func(r *pipeline.Registry) {
		pipeline.App(r, "egg:test#app", func(*pipeline.Build, struct{}) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
				_, inCookie := r.Cookie("seen")
				fmt.Fprintln(w, r.Host, r.RemoteAddr, inCookie == nil)
			})
			mux.HandleFunc("GET /set", func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Secure: true, Path: "/"})
				http.Redirect(w, r, "/", http.StatusSeeOther)
			})
			mux.HandleFunc("GET /panic",
				func(http.ResponseWriter, *http.Request) { panic("on purpose") })
			return mux, nil
		})
	})
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "localhost 127.0.0.1:50000 false\n"},
		{"https://example.com/set", 200, "example.com 127.0.0.1:50000 true\n"},
		{"http://example.com/set", 200, "example.com 127.0.0.1:50000 false\n"},
	} {
		if got := site.Browser().Get(tt.path); got.Status != tt.status || got.Body != tt.body {
			t.Errorf("%s: got %d %q, want %d %q", tt.path, got.Status, got.Body, tt.status, tt.body)
		}
	}
	if got := site.Browser().Get("/panic"); got.Status != http.StatusInternalServerError {
		t.Errorf("a panic: got %d, want 500", got.Status)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if got := site.Browser().Do(request); got.Status != http.StatusOK || got.Body != "" {
		t.Errorf("HEAD: got %d %q", got.Status, got.Body)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	ini := write(t, "site.ini", "[app:main]\nuse = egg:nonesuch\n")
	said := failure(t, func(t *recorder) { servetest.New(t, ini) })
	if want := ini + ":2: "; !strings.Contains(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
	said = failure(t, func(r *recorder) {
		browser := servetest.New(r, tutorial, myapp.Register).Browser()
		if got := browser.Get("ftp://localhost/"); got.Status != 0 {
			t.Errorf("got %d", got.Status)
		}
	})
	if !strings.Contains(said, "unsupported protocol scheme") {
		t.Errorf("got %q", said)
	}
	said = failure(t, func(t *recorder) {
		newApp := func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
			b.OnClose(func() error { return fmt.Errorf("can't close") })
			return http.NotFoundHandler(), nil
		}
		servetest.New(t, write(t, "site.ini", "[app:main]\nuse = egg:test#app\n"),
			func(r *pipeline.Registry) {
				pipeline.App(r, "egg:test#app", newApp)
			})
	})
	if !strings.Contains(said, "can't close") {
		t.Errorf("got %q", said)
	}
}

// A recorder is a test whose failures are recorded.
type recorder struct {
	testing.TB
	said    strings.Builder
	cleanup []func()
}

func (r *recorder) Helper()                   {}
func (r *recorder) Output() io.Writer         { return io.Discard }
func (r *recorder) Cleanup(f func())          { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Error(args ...any)         { fmt.Fprintln(&r.said, args...) }
func (r *recorder) Errorf(f string, a ...any) { fmt.Fprintf(&r.said, f+"\n", a...) }
func (r *recorder) Fatal(args ...any)         { r.Error(args...); runtime.Goexit() }

func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanup) {
		f()
	}
}

// failure returns what a test says that fails.
func failure(t *testing.T, f func(*recorder)) string {
	t.Helper()
	r := &recorder{TB: t}
	var test sync.WaitGroup
	test.Go(func() {
		defer r.end()
		f(r)
	})
	test.Wait()
	return r.said.String()
}

func write(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func read(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
