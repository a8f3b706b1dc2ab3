package serve_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// run runs the command, and returns its exit code, output and faults.
func run(t *testing.T, in string, args []string, register ...func(*pipeline.Registry)) (code int,
	out, errs string,
) {
	t.Helper()
	var o, e bytes.Buffer
	code = serve.Run(t.Context(), args, serve.Stdio{In: strings.NewReader(in), Out: &o, Err: &e},
		register...)
	return code, o.String(), e.String()
}

// registerVariety adds an app that does what the path says, and others with routes.
func registerVariety(closed *int) func(*pipeline.Registry) {
	return func(r *pipeline.Registry) {
		pipeline.App(r, "egg:test#variety",
			func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
				b.OnClose(func() error {
					*closed++
					return nil
				})
				mux := http.NewServeMux()
				mux.HandleFunc("/panic",
					func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
				mux.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "10")
					_, _ = io.WriteString(w, "half")
				})
				mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w,
						r, "/elsewhere", http.StatusFound)
				})
				mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
					for _, word := range []string{"one ", "two ", "three"} {
						_, _ = io.WriteString(w, word)
						_ = http.NewResponseController(w).Flush()
					}
				})
				mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					_, _ = io.WriteString(w,
						r.Method+" "+r.Host+" "+r.Header.Get("X-Test")+" "+r.RemoteAddr+" "+string(body))
				})
				return mux, nil
			})
		pipeline.App(r, "egg:test#router", func(*pipeline.Build, struct{}) (http.Handler, error) {
			router := chi.NewRouter()
			router.Get("/", http.NotFound)
			router.Route("/users", func(users chi.Router) {
				users.Post("/", http.NotFound)
				users.Get("/{id}", http.NotFound)
			})
			return router, nil
		})
		pipeline.App(r, "egg:test#wrapped",
			func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
				router := chi.NewRouter()
				router.Get("/inside", http.NotFound)
				b.Routes(router)
				return http.StripPrefix("/x", router), nil
			})
		pipeline.App(r, "egg:test#mux", func(*pipeline.Build, struct{}) (http.Handler, error) {
			var mux, admin mount.Mux
			admin.HandleFunc("POST /users", http.NotFound)
			mux.HandleFunc("GET /entry/{id}", http.NotFound)
			mux.HandleFunc("www.example.org/{$}", http.NotFound)
			mux.Mount("/admin", &admin)
			return &mux, nil
		})
		pipeline.App(r, "egg:test#stubborn",
			func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
				b.OnClose(func() error { return errors.New("the door is stuck") })
				return http.NotFoundHandler(), nil
			})
		pipeline.Filter(r, "egg:test#plain",
			func(*pipeline.Build, struct{}) (func(http.Handler) http.Handler, error) {
				return func(next http.Handler) http.Handler { return next }, nil
			})
		pipeline.Composite(r, "egg:test#childless", func(*pipeline.Build,
			struct{},
		) (http.Handler, error) {
			return http.NotFoundHandler(), nil
		})
	}
}

const variety = `
[app:main]
use = egg:test#variety
[app:router]
use = egg:test#router
[app:wrapped]
use = egg:test#wrapped
[app:mux]
use = egg:test#mux
[app:stubborn]
use = egg:test#stubborn
[composite:childless]
use = egg:test#childless
[filter:outer]
use = egg:test#plain
[filter:inner]
use = egg:test#plain
filter-with = outer
[pipeline:nested]
pipeline = inner guarded
[filter-app:guarded]
use = egg:test#plain
next = mapped
[composite:mapped]
use = egg:Paste#urlmap
/app/ = router
domain example.org port 8080 /deep = wrapped
/none = childless
/mux = mux
[server:main]
use = egg:Paste#http
port = 0
`

func TestRequest(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, variety)
	for _, tt := range []struct {
		name     string
		in       string
		args     []string
		want     int
		wantOut  string
		wantErrs string
	}{
		{
			"a body is for POST and its like alone", "data",
			[]string{"/"},
			serve.ExitOK,
			"GET localhost  127.0.0.1:0 ", "",
		},
		{
			"a body", "data",
			[]string{"/", "-m", "PATCH"},
			serve.ExitOK,
			"PATCH localhost  127.0.0.1:0 data", "",
		},
		{"a body for another method", "data", []string{
			"/", "-m", "DELETE", "--header",
			"Content-Length:99",
		}, serve.ExitOK, "DELETE localhost  127.0.0.1:0 data", ""},
		{"header fields", "", []string{
			"/", "--header", "Host: a.example", "--header",
			"x-test:  b ",
		}, serve.ExitOK, "GET a.example b 127.0.0.1:0 ", ""},
		{"a redirect is not followed", "", []string{"/moved", "-m", "HEAD"}, serve.ExitOK, "", ""},
		{"a stream", "", []string{"/stream"}, serve.ExitOK, "one two three", ""},
		{
			"a connection that is dropped", "",
			[]string{"/panic"},
			serve.ExitFailed, "",
			"the app closed the connection without a response\n",
		},
		{
			"half of an answer", "",
			[]string{"/half"},
			serve.ExitFailed, "half",
			"incomplete response: unexpected EOF\n",
		},
		{
			"an app that fails to close", "",
			[]string{"/", "-n", "stubborn"},
			serve.ExitFailed,
			"404 page not found\n", "GET /: 404 Not Found\nthe door is stuck\n",
		},
		{
			"a control character", "",
			[]string{"/", "--header", "X: \x01"},
			serve.ExitUsage, "",
			`serve request: --header "X: \x01": the value has control characters (serve ` +
				`help request ` +
				`says more)` + "\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			closed := 0
			code, out, errs := run(t, tt.in, append([]string{"request", path}, tt.args...),
				registerVariety(&closed))
			if code != tt.want || out != tt.wantOut || errs != tt.wantErrs {
				t.Errorf("got %d, %q, %q, want %d, %q, %q", code, out, errs, tt.want, tt.wantOut,
					tt.wantErrs)
			}
			if wrong := code == serve.ExitUsage || slices.Contains(tt.args, "stubborn"); !wrong &&
				closed != 1 {
				t.Errorf("closed %d times, want once", closed)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, variety)
	closed := 0
	code, out, errs := run(t, "", []string{"routes", path, "-n", "nested"},
		registerVariety(&closed))
	const want = `METHOD  PATTERN                       PIPELINE
GET     /app/                         outer > inner > guarded > mapped[/app/] > router
POST    /app/users/                   outer > inner > guarded > mapped[/app/] > router
GET     /app/users/{id}               outer > inner > guarded > mapped[/app/] > router
POST    /mux/admin/users              outer > inner > guarded > mapped[/mux] > mux
GET     /mux/entry/{id}               outer > inner > guarded > mapped[/mux] > mux
*       /none/*                       outer > inner > guarded > mapped[/none] > childless
GET     example.org:8080/deep/inside  outer > inner > guarded > mapped[domain example.org port 8080 /deep] > wrapped
*       www.example.org/mux/{$}       outer > inner > guarded > mapped[/mux] > mux
`
	if code != serve.ExitOK || out != want || errs != "" {
		t.Errorf("got %d, %s%s, want\n%s", code, out, errs, want)
	}
	if code, _, errs := run(t, "", []string{"routes", path, "-n", "stubborn"},
		registerVariety(&closed)); code != serve.ExitFailed || errs != "the door is stuck\n" {
		t.Errorf("got %d, %q, want that it can't be closed", code, errs)
	}
}

// What check creates it closes, and tells if that fails.
func TestCheckCloses(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, variety)
	closed := 0
	if code, out, errs := run(t, "", []string{"check", path}, registerVariety(&closed)); code !=
		serve.ExitOK || closed != 1 {
		t.Errorf("got %d, %q, %q, closed %d times, want 0 and once", code, out, errs, closed)
	}
	if code, out, errs := run(t, "", []string{"check", path, "-n", "stubborn"},
		registerVariety(&closed)); code != serve.ExitFailed || out != "" || errs !=
		"the door is stuck\n" {
		t.Errorf("got %d, %q, %q, want that it can't be closed", code, out, errs)
	}
}

// A secret of the app is hidden where it turns up in the tree of the server, too.
func TestShowHidesSecretsOfTheOthers(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, `
[DEFAULT]
words = correct-horse-battery-staple
[pipeline:main]
pipeline = login egg:test#variety
[filter:login]
use = egg:repoze.browserid#browserid
secret_key = %(words)s
[server:main]
use = egg:Paste#http
server_version = is %(words)s
`)
	for _, args := range [][]string{{}, {"--server"}, {"--filter", "-n", "login"}} {
		for _, format := range []string{"", "--json", "--dot", "--svg"} {
			args := append([]string{"show", path}, args...)
			if format != "" {
				args = append(args, format)
			}
			if code, out, errs := run(t, "", args); code != serve.ExitOK ||
				strings.Contains(out, "horse") || !strings.Contains(out, "***") {
				t.Errorf("%q: got %d, %s%s, want no secret", args, code, out, errs)
			}
			if _, out, _ := run(t, "", append(args, "--reveal")); !strings.Contains(out, "horse") {
				t.Errorf("%q --reveal: got %s, want the secret", args, out)
			}
		}
	}
}

// A writer that is full is a failure: nobody is to take half of an output for all.
func TestOutputThatFails(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, variety)
	closed := 0
	for _, args := range [][]string{
		{"show", path},
		{"show", path, "--json"},
		{"show", path, "--dot"},
		{"show", path, "--svg"},
		{"check", path},
		{"routes", path},
		{"request", path, "/"},
		{"request", path, "/", "-d"},
		{"list"},
		{"help"},
		{"help", "show"},
		{"help", "retry"},
		{"completion", "bash"},
		{"version"},
		{path},
	} {
		var errs bytes.Buffer
		if code := serve.Run(t.Context(), args, serve.Stdio{Out: full{}, Err: &errs},
			registerVariety(&closed)); code != serve.ExitFailed || !strings.Contains(errs.String(),
			"the disk is full") {
			t.Errorf("%q: got %d, %q, want 1 and the reason", args, code, errs.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// A name that is a file is that file, whatever it looks like.
func TestFileWithoutExtension(t *testing.T) {
	dir, _ := writeSite(t, variety)
	t.Chdir(dir)
	if err := os.Rename("site.ini", "site"); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", []string{"site"}); code != serve.ExitFailed ||
		!strings.HasPrefix(errs, "site:3: [app:main] use = ") {
		t.Errorf("got %d, %q, want a fault of the file", code, errs)
	}
	if code, _, errs := run(t, "", []string{"wsgi"}); code != serve.ExitUsage ||
		!strings.HasPrefix(errs, `serve: "wsgi" is neither a file nor a command; have show, `) {
		t.Errorf("got %d, %q, want wrong usage", code, errs)
	}
}
