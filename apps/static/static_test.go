package static_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/apps/static"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// folder creates the folder to serve, and a secret file beside it.
func folder(tb testing.TB) string {
	tb.Helper()
	parent := tb.TempDir()
	root := filepath.Join(parent, "root")
	for name, text := range map[string]string{
		"secret.txt":              "secret",
		"root-too/secret.txt":     "secret",
		"root/index.html":         "<p>root</p>",
		"root/a.txt":              "0123456789",
		"root/style.css":          "p {}",
		"root/data.unknown":       "<script>",
		"root/pack.tar.gz":        "packed",
		"root/dir/index.html":     "<p>dir</p>",
		"root/dir/b c.txt":        "b",
		"root/empty/sub/x":        "x",
		"root/über/ä.txt":         "ä",
		"root/index.html.d/x.txt": "x",
	} {
		path := filepath.Join(parent, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"out.txt": "../secret.txt", "up": "..", "abs.txt": filepath.Join(parent, "secret.txt"),
		"in.txt": "a.txt", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			tb.Skip("no symbolic links here: ", err)
		}
	}
	return root
}

func newApp(tb testing.TB, c static.Config) *static.App {
	tb.Helper()
	app, err := static.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := app.Close(); err != nil {
			tb.Error(err)
		}
	})
	return app
}

// TestPaths sends paths unchanged; net/http's client would clean them.
func TestPaths(t *testing.T) {
	t.Parallel()
	root := folder(t)
	server := httptest.NewServer(newApp(t, static.Config{DocumentRoot: root}))
	t.Cleanup(server.Close)
	tests := []struct {
		target string
		want   int
		body   string // or the target of the redirect
	}{
		{"/", 200, "<p>root</p>"},
		{"/index.html", 200, "<p>root</p>"},
		{"/a.txt", 200, "0123456789"},
		{"//a.txt", 200, "0123456789"},
		{"/in.txt", 200, "0123456789"},
		{"/dir/", 200, "<p>dir</p>"},
		{"/dir//b%20c.txt", 200, "b"},
		{"/%C3%BCber/%C3%A4.txt", 200, "ä"},
		{"/dir", 301, "/dir/"},
		{"/dir?x=1&y=%2F", 301, "/dir/?x=1&y=%2F"},
		{"//dir", 301, "/dir/"},
		{"/a.txt/", 404, ""},
		{"/a.txt/x", 404, ""},
		{"/nothing", 404, ""},
		{"/empty/", 404, ""},
		{"/empty", 404, ""},
		{"/A.TXT", 404, ""},
		{"/out.txt", 404, ""},
		{"/abs.txt", 404, ""},
		{"/loop", 404, ""},
		{"/up/", 404, ""},
		{"/up/secret.txt", 404, ""},
		{"/../secret.txt", 404, ""},
		{"/dir/../../secret.txt", 404, ""},
		{"/dir/../a.txt", 404, ""},
		{"/./a.txt", 404, ""},
		{"/%2e%2e/secret.txt", 404, ""},
		{"/..%2fsecret.txt", 404, ""},
		{"/%2e%2e%3fsecret.txt", 404, ""},
		{"/..%5csecret.txt", 404, ""},
		{"/../root-too/secret.txt", 404, ""},
		{"/a.txt%00.html", 404, ""},
		{"/" + strings.Repeat("x", 5000), 404, ""},
		{"/" + strings.Repeat("x/", 3000), 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.target[:min(len(tt.target), 40)], func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp",
				server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET "+tt.target+" HTTP/1.0\r\nHost: example.org\r\n\r\n")
			answer, _ := io.ReadAll(conn)
			head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
			if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.0 %d ", tt.want)) {
				t.Fatalf("got %s, want %d", answer, tt.want)
			}
			switch tt.want {
			case http.StatusOK:
				if body != tt.body {
					t.Errorf("got %q, want %q", body, tt.body)
				}
			case http.StatusMovedPermanently:
				if !strings.Contains(head, "\r\nLocation: "+tt.body+"\r\n") {
					t.Errorf("got %s, want Location %s", head, tt.body)
				}
			default:
				if body != "Not Found\n" {
					t.Errorf("got %q", body)
				}
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	root := folder(t)
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "a.txt"), at, at); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, static.Config{DocumentRoot: root, CacheMaxAge: time.Minute})
	static.SetNow(app, func() time.Time { return at })
	do := func(method, target string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		maps.Copy(r.Header, header)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		return w
	}
	got := do(http.MethodGet, "/a.txt", nil).Header()
	etag := got.Get("Etag")
	want := http.Header{
		"Accept-Ranges": {"bytes"}, "Cache-Control": {"public, max-age=60"},
		"Content-Length": {"10"}, "Content-Type": {"text/plain; charset=utf-8"},
		"Etag": {etag}, "Expires": {"Thu, 02 Jan 2020 03:05:05 GMT"},
		"Last-Modified": {"Thu, 02 Jan 2020 03:04:05 GMT"}, "X-Content-Type-Options": {"nosniff"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	tests := []struct {
		name   string
		method string
		target string
		header http.Header
		want   int
		typ    string
	}{
		{"head", http.MethodHead, "/a.txt", nil, 200, "text/plain; charset=utf-8"},
		{"entity tag", http.MethodGet, "/a.txt", http.Header{"If-None-Match": {etag}}, 304, ""},
		{
			"time", http.MethodGet, "/a.txt",
			http.Header{"If-Modified-Since": {"Thu, 02 Jan 2020 03:04:05 GMT"}},
			304, "",
		},
		{
			"range", http.MethodGet, "/a.txt",
			http.Header{"Range": {"bytes=2-4"}},
			206,
			"text/plain; charset=utf-8",
		},
		{
			"range too far", http.MethodGet, "/a.txt",
			http.Header{"Range": {"bytes=20-"}},
			416,
			"text/plain; charset=utf-8",
		},
		{"post", http.MethodPost, "/a.txt", nil, 405, "text/plain; charset=utf-8"},
		{"post to a missing file", http.MethodPost, "/b.txt", nil, 404, "text/plain; charset=utf-8"},
		{"css", http.MethodGet, "/style.css", nil, 200, "text/css; charset=utf-8"},
		{
			"unknown type is not detected", http.MethodGet, "/data.unknown", nil, 200,
			"application/octet-stream",
		},
		{"compressed file stays compressed", http.MethodGet, "/pack.tar.gz", nil, 200, "application/gzip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := do(tt.method, tt.target, tt.header)
			if w.Code != tt.want || w.Header().Get("Content-Type") != tt.typ ||
				w.Header().Get("Content-Encoding") != "" {
				t.Errorf("got %d %v, want %d %s", w.Code, w.Header(), tt.want, tt.typ)
			}
		})
	}
}

// Behind a urlmap, a redirect contains the path at which the app is mounted.
func TestRedirectBelowScriptName(t *testing.T) {
	t.Parallel()
	app := newApp(t, static.Config{DocumentRoot: folder(t)})
	for target, want := range map[string]string{
		"/files/dir": "/files/dir/", "/files": "/files/",
		"/files?q": "/files/?q", "/files/": "",
	} {
		r, ok := mount.Cut(httptest.NewRequest(http.MethodGet, target, nil), "/files")
		if !ok {
			t.Fatal("not cut")
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	app, err := static.New(static.Config{DocumentRoot: folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/a.txt", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("got %d, want 404", w.Code)
	}
}

func load(ctx context.Context, here, ini string) (*pipeline.Pipeline, error) {
	registry := pipeline.NewRegistry()
	static.Register(registry)
	return pipeline.Load(ctx, filepath.Join(here, "site.ini"), pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	root := folder(t)
	for _, documentRoot := range []string{"root", "%(here)s/root", "./dir/../root/"} {
		for _, name := range []string{"egg:Paste#static", "egg:pasteline#static"} {
			p, err := load(t.Context(), filepath.Dir(root),
				"[app:main]\nuse = "+name+"\ndocument_root = "+documentRoot+"\ncache_max_age = 5\n")
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/a.txt", nil))
			if w.Body.String() != "0123456789" || w.Header().Get("Cache-Control") !=
				"public, max-age=5" {
				t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A warning says that serving the folder of the .ini file reveals its secrets.
func TestWarnsOfServingTheINI(t *testing.T) {
	t.Parallel()
	root := folder(t)
	for documentRoot, want := range map[string]int{
		"%(here)s": 1, "..": 1, "dir": 0,
		filepath.Join(root, "dir"): 0,
	} {
		p, err := load(t.Context(), root,
			"[app:main]\nuse = egg:Paste#static\ndocument_root = "+documentRoot+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Warnings(); len(got) != want || want > 0 && !strings.Contains(got[0].String(),
			":3: [app:main] document_root: this .ini file") {
			t.Errorf("%s: got %v, want %d", documentRoot, got, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	root := folder(t)
	at := filepath.Join(root, "site.ini")
	tests := []struct {
		name    string
		lines   string
		wantErr string
	}{
		{"empty", "document_root =\n", at +
			`:3: [app:main] document_root: want a folder, such as %(here)s/static`},
		{"missing", "", at + `:1: [app:main] document_root: missing; write document_root = … ` +
			`(the folder whose files are served)`},
		{"missing folder", "document_root = none\n", at + `:3: [app:main] document_root = "none": no ` +
			`folder "` + filepath.Join(root, "none") + `": create it, or name an existing one`},
		{"a file", "document_root = a.txt\n", at +
			`:3: [app:main] document_root = "a.txt": folder can't be opened: `},
		{"age", "document_root = dir\ncache_max_age = -1\n", at +
			`:4: [app:main] cache_max_age = "-1": want a whole number of 0 or more, such as 0`},
		{"name", "document_rot = dir\n", at +
			`:3: [app:main] document_rot: unknown setting; did you mean "document_root"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t.Context(), root, "[app:main]\nuse = egg:Paste#static\n"+tt.lines)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, want %s", err, tt.wantErr)
			}
		})
	}
	for _, c := range []static.Config{{}, {DocumentRoot: root, CacheMaxAge: -1}} {
		if _, err := static.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// No path, in any notation, reads the file beside the folder.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/a.txt", "/../secret.txt", "/up/secret.txt", "/./..//secret.txt",
		"/dir/\x00", "\\..\\secret.txt", "/out.txt", "",
	} {
		f.Add(seed)
	}
	app := newApp(f, static.Config{DocumentRoot: folder(f)})
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%q reads a file outside of the folder", path)
		}
		if location := w.Header().Get("Location"); strings.HasPrefix(location, "//") ||
			strings.HasPrefix(location, `/\`) {
			t.Errorf("%q leads to another host: %s", path, location)
		}
	})
}

// Names that begin with a dot are not served, unless dot_files is true.
func TestDotFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{
		".env", ".git/config", "dir/.htpasswd", "dir/.hidden/a.txt",
		"..a", ".well-known/.secret", ".well-known/acme/token", "a/.well-known/x", "a.b",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, served := range []bool{false, true} {
		app, err := static.New(static.Config{DocumentRoot: root, DotFiles: served})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = app.Close() })
		hidden := http.StatusNotFound
		if served {
			hidden = http.StatusOK
		}
		for path, want := range map[string]int{
			"/.env": hidden, "/%2eenv": hidden, "//.env": hidden, "/.git/config": hidden,
			"/dir/.htpasswd": hidden, "/dir/.hidden/a.txt": hidden,
			"/..a": hidden, "/.well-known/.secret": hidden, "/a/.well-known/x": hidden,
			"/.well-known/acme/token": http.StatusOK, "/a.b": http.StatusOK,
			"/.git/": http.StatusNotFound, "/.git": http.StatusNotFound,
		} {
			w := httptest.NewRecorder()
			app.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("dot_files %t: %s: got %d, want %d", served, path, w.Code, want)
			}
		}
	}
}
