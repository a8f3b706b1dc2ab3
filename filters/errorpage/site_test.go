package errorpage_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// The sites of the tests.
const (
	head = `[DEFAULT]
debug = true

[app:shop]
use = egg:shop
database = memory://shop
api_token = xyzzy-of-the-file

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 0123456789abcdef-xyzzy-fedcba9876543210

[filter:retry]
use = egg:repoze.retry#retry
tries = 3

[server:main]
use = egg:Paste#http
host = 127.0.0.1
port = 0

[pipeline:main]
pipeline =
`
	whole     = head + "    browserid\n    retry\n    egg:repoze.tm2#tm\n    shop\n"
	onlyTM    = head + "    browserid\n    egg:repoze.tm2#tm\n    shop\n"
	withoutTM = head + "    browserid\n    shop\n"
	wrong     = head + "    browserid\n    egg:repoze.tm2#tm\n    retry\n    shop\n"
	withoutID = head + "    retry\n    egg:repoze.tm2#tm\n    shop\n"
)

// A shop is the app of the tests, each of whose pages fails in another way.
type shop struct {
	db       *storage.DB
	sessions *session.Manager
	prices   map[string]int // nil
}

type shopSettings struct {
	Database string
	APIToken pipeline.Secret
}

// stockError is a typed cause.
type stockError struct{ left int }

func (e *stockError) Error() string { return fmt.Sprintf("only %d left", e.left) }

func registerShop(r *pipeline.Registry) {
	pipeline.App(r, "egg:shop", func(b *pipeline.Build, s shopSettings) (http.Handler, error) {
		db, err := b.Storage(s.Database)
		if err != nil {
			return nil, err
		}
		sessions, err := session.NewManager(db, session.Config{})
		if err != nil {
			return nil, err
		}
		a := &shop{db: db, sessions: sessions}
		mux := http.NewServeMux()
		for path, f := range map[string]func(http.ResponseWriter, *http.Request) error{
			"/error": a.fail, "/panic": a.panics, "/nil": a.nilMap, "/conflict": a.conflict,
			"/commit": a.failCommit, "/hook": a.panicInHook, "/stream": a.stream, "/session": a.session,
			"/other": a.otherContext, "/client": a.clientError, "/sql": a.statements, "/many": a.many,
			"/body": a.body, "/deadline": a.deadline, "/transient": a.transient, "/responder": a.fail,
		} {
			h := http.Handler(handler.Func(f))
			if path == "/responder" {
				h = handler.Responder(func(w http.ResponseWriter, _ *http.Request, err error) {
					http.Error(w, "the app's own page", handler.Status(err))
				})(h)
			}
			mux.Handle(path, h)
		}
		return mux, nil
	})
}

func (a *shop) fail(http.ResponseWriter, *http.Request) error {
	return fmt.Errorf("order 7: %w",
		errors.Join(&stockError{3}, fmt.Errorf("dial postgres://shop:hunter2xyzzy@db/shop: %w", io.ErrUnexpectedEOF)))
}

func (a *shop) panics(w http.ResponseWriter, _ *http.Request) error {
	http.SetCookie(w, &http.Cookie{Name: "dropped", Value: "yes"})
	panic(fmt.Errorf("price of %d: %w", 7, &stockError{0}))
}

func (a *shop) nilMap(http.ResponseWriter, *http.Request) error {
	a.prices["tea"] = 1 // the line that panics
	return nil
}

// conflict reads a key that another transaction changes before the commit, in each attempt.
func (a *shop) conflict(_ http.ResponseWriter, r *http.Request) error {
	stock, err := a.db.Bucket(r.Context(), "stock")
	if err != nil {
		return err
	}
	if _, err := stock.Get([]byte("apples")); err != nil {
		return err
	}
	if err := transaction.Run(context.Background(), func(ctx context.Context) error {
		stock, err := a.db.Bucket(ctx, "stock")
		if err != nil {
			return err
		}
		return stock.Put([]byte("apples"), []byte(time.Now().String()))
	}); err != nil {
		return err
	}
	return stock.Put([]byte("apples"), []byte("1"))
}

func (a *shop) failCommit(_ http.ResponseWriter, r *http.Request) error {
	t, _ := transaction.FromContext(r.Context())
	t.BeforeCommit(func(context.Context) error { return &stockError{1} })
	return nil
}

func (a *shop) panicInHook(_ http.ResponseWriter, r *http.Request) error {
	t, _ := transaction.FromContext(r.Context())
	t.BeforeCommit(func(context.Context) error { panic("no hook today") })
	return nil
}

func (a *shop) stream(w http.ResponseWriter, _ *http.Request) error {
	fmt.Fprintln(w, "the first part")
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	return &stockError{2}
}

func (a *shop) session(_ http.ResponseWriter, r *http.Request) error {
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		"cart":     []any{"tea", "milk"},
		"password": "xyzzy-of-the-session",
		"user":     map[string]any{"name": "ann", "api_key": "xyzzy-of-the-user"},
		"note":     "paid with https://ann:xyzzy-of-a-uri@bank/",
	} {
		if err := s.Set(name, value); err != nil {
			return err
		}
	}
	return fmt.Errorf("log in with %q", "xyzzy-of-the-session")
}

func (a *shop) otherContext(http.ResponseWriter, *http.Request) error {
	_, err := a.sessions.Get(context.Background())
	return err
}

func (a *shop) clientError(http.ResponseWriter, *http.Request) error {
	return &handler.Error{Status: http.StatusUnprocessableEntity, Message: "An entry needs a text.", Err: &stockError{4}}
}

func (a *shop) statements(_ http.ResponseWriter, r *http.Request) error {
	observe.FromContext(r.Context()).StatementEnd(r.Context(), observe.Statement{
		DB: "shop", SQL: "UPDATE stock SET n = n - 1 WHERE id = $1", Duration: 1500 * time.Millisecond, Err: &stockError{5},
	})
	return &stockError{5}
}

// many does more of everything than the page can show.
func (a *shop) many(_ http.ResponseWriter, r *http.Request) error {
	stock, err := a.db.Bucket(r.Context(), "stock")
	if err != nil {
		return err
	}
	for i := range 1000 {
		if err := stock.Put(fmt.Appendf(nil, "k%d", i), []byte("v")); err != nil {
			return err
		}
		observe.FromContext(r.Context()).StatementEnd(r.Context(),
			observe.Statement{SQL: "SELECT " + strings.Repeat("x", 5000)})
	}
	return errors.New(strings.Repeat("a long error ", 10_000))
}

func (a *shop) body(_ http.ResponseWriter, r *http.Request) error {
	if err := r.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return err
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	return fmt.Errorf("no account for %q with %q", r.PostForm.Get("name"), r.PostForm.Get("password"))
}

func (a *shop) transient(http.ResponseWriter, *http.Request) error {
	return transaction.Transient(&stockError{6})
}

func (a *shop) deadline(http.ResponseWriter, *http.Request) error { return context.DeadlineExceeded }

// A logBuffer is a log that goroutines share.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A testSite is a served .ini file.
type testSite struct {
	t        *testing.T
	url      string
	log      *logBuffer
	pipeline *pipeline.Pipeline
	client   *http.Client
}

// load loads a file, and closes it again at the end of the test.
func load(t *testing.T, ini string, register ...func(*pipeline.Registry)) (*pipeline.Pipeline, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(name, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	for _, f := range register {
		f(registry)
	}
	p, err := pipeline.Load(t.Context(), name, pipeline.Options{Registry: registry})
	if err == nil {
		t.Cleanup(func() { _ = p.Close() })
	}
	return p, err
}

// serveINI serves a file.
func serveINI(t *testing.T, ini string, register ...func(*pipeline.Registry)) *testSite {
	t.Helper()
	name := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(name, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &testSite{t: t, log: &logBuffer{}}
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	registerShop(registry)
	for _, f := range register {
		f(registry)
	}
	options := pipeline.Options{Registry: registry, Logger: logger}
	var err error
	if s.pipeline, err = pipeline.Load(t.Context(), name, options); err != nil {
		t.Fatal(err)
	}
	server, err := pipeline.LoadServer(t.Context(), name, options)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.pipeline) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(context.Background()), <-served, s.pipeline.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
	s.url = "http://" + addrs[0].String()
	if u, ok := addrs[0].(interface{ URL() string }); ok {
		s.url = u.URL()
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Jar: jar, Transport: transport}
	return s
}

// A reply is a response that was read.
type reply struct {
	status int
	header http.Header
	body   string
	proto  string
	err    error // of reading the body
}

// get sends a GET request with fields, each "Name: value".
func (s *testSite) get(path string, fields ...string) reply {
	return s.send("GET", path, "", fields...)
}

func (s *testSite) send(method, path, body string, fields ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(text), response.Proto, err}
}

const (
	asHTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	asJSON = "Accept: application/json"
	asText = "Accept: */*"
)

// registerQuote registers an app whose errors quote all that a request has.
func registerQuote(r *pipeline.Registry) {
	type settings struct {
		Others map[string]string `ini:"*"`
	}
	pipeline.App(r, "egg:quote", func(*pipeline.Build, settings) (http.Handler, error) {
		return handler.Func(func(_ http.ResponseWriter, r *http.Request) error {
			if err := r.ParseForm(); err != nil {
				return err
			}
			var cookies []string
			for _, c := range r.Cookies() {
				cookies = append(cookies, c.Value, strings.Split(c.Value, ".")[0])
			}
			user, password, _ := r.BasicAuth()
			err := errors.Join(fmt.Errorf("fields %v", r.Header), fmt.Errorf("form %q", r.Form),
				fmt.Errorf("cookies %v", cookies), fmt.Errorf("log-in %s %s", user, password))
			if r.URL.Path == "/panic" {
				panic(err)
			}
			return err
		}), nil
	})
}
