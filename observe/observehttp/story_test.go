package observehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/servetest"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// A story is a listener that writes down what it is told, one line a fact.
type story struct {
	mu    sync.Mutex
	lines []string
	names map[string]string // of request ids, which are random
}

func (s *story) add(ctx context.Context, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, arg := range args {
		if id, ok := arg.(requestID); ok {
			args[i] = s.name(string(id))
		}
	}
	line := fmt.Sprintf(format, args...)
	s.lines = append(s.lines, s.name(observe.FromContext(ctx).Name())+" "+line)
}

// A requestID is printed as r1 for the first request, and so on.
type requestID string

func (s *story) name(id string) string {
	if len(id) < 20 {
		return id // a job
	}
	if s.names == nil {
		s.names = map[string]string{}
	}
	if s.names[id] == "" {
		s.names[id] = fmt.Sprintf("r%d", len(s.names)+1)
	}
	return s.names[id]
}

// take returns the lines since the last call, and forgets the names.
func (s *story) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.lines, "\n")
	s.lines, s.names = nil, nil
	return text
}

func (s *story) RequestStart(ctx context.Context, f observe.RequestStart) context.Context {
	s.add(ctx, "begins: %s %s", f.Method, f.Path)
	return ctx
}

func (s *story) RequestEnd(ctx context.Context, f observe.RequestEnd) {
	s.add(ctx, "ends: %s %q %d, %d attempts, %d lost, %q, panicked %v", f.App, f.Route, f.Status,
		f.Attempts, f.Conflicts, f.Outcome, f.Panicked)
}

func (s *story) AttemptStart(ctx context.Context, f observe.AttemptStart) context.Context {
	s.add(ctx, "attempt %d of %d", f.Number, f.Tries)
	return ctx
}

func (s *story) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	s.add(ctx, "attempt %d: %s, %d, again %v, error %v", f.Number, f.Outcome, f.Status, f.Again,
		f.Err != nil)
}

func (s *story) Joined(ctx context.Context, f observe.Join) { s.add(ctx, "joined: %s", f.Manager) }

func (s *story) CommitStart(ctx context.Context, f observe.CommitStart) {
	s.add(ctx, "commit of %d", f.Managers)
}

func (s *story) CommitEnd(ctx context.Context, f observe.CommitEnd) {
	s.add(ctx, "committed: %v", f.Err == nil)
}

func (s *story) Decided(ctx context.Context, f observe.Decision) {
	s.add(ctx, "decided: %s, %d", f.Outcome, f.Status)
}

func (s *story) Accessed(ctx context.Context, f observe.Access) {
	if f.Bucket == "app" {
		s.add(ctx, "%s %s/%s, %d bytes", f.Operation, f.Bucket, f.Key, f.Bytes)
	}
}

func (s *story) Conflicted(ctx context.Context, f observe.Conflict) {
	s.add(ctx, "lost %s/%s to %s", f.Bucket, f.Key, requestID(f.With))
}

func (s *story) Queued(ctx context.Context, f observe.Queue) {
	s.add(ctx, "queued for %s/%s, %d ahead, granted %v", f.Bucket, f.Key, f.Ahead, f.Granted)
}

func (s *story) Grouped(ctx context.Context, f observe.Group) {
	s.add(ctx, "in a group of %d", f.Size)
}

func (s *story) Released(ctx context.Context, f observe.Release) {
	s.add(ctx, "released, hijacked %v", f.Hijacked)
}

func (s *story) Spooled(ctx context.Context, f observe.Spool) {
	s.add(ctx, "spooled, response %v", f.Response)
}

func (s *story) SessionChanged(ctx context.Context, f observe.SessionChange) {
	s.add(ctx, "session %s", f.Change)
}

func (s *story) Swept(ctx context.Context, f observe.Sweep) { s.add(ctx, "swept %d", f.Ended) }

// An app has routes that end in different ways.
type app struct {
	db       *storage.DB
	sessions *session.Manager
	ahead    func() // runs once, between the read and the write of /race
}

func (a *app) routes() http.Handler {
	r := chi.NewRouter()
	get := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		r.Get(pattern, handler.Func(f))
	}
	get("/items/{id}", func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, chi.URLParam(r, "id"))
		return err
	})
	get("/veto", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	})
	get("/doom", func(_ http.ResponseWriter, r *http.Request) error {
		txn, _ := transaction.FromContext(r.Context())
		return txn.Doom()
	})
	get("/fail", func(http.ResponseWriter, *http.Request) error { return errors.New("no") })
	get("/panic", func(http.ResponseWriter, *http.Request) error { panic("no") })
	get("/flush", func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	})
	get("/large", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write(make([]byte, 10<<20))
		return err
	})
	get("/login", func(_ http.ResponseWriter, r *http.Request) error {
		s, err := a.sessions.Get(r.Context())
		if err != nil {
			return err
		}
		return s.Set("user", "ann")
	})
	get("/logout", func(_ http.ResponseWriter, r *http.Request) error {
		s, err := a.sessions.Get(r.Context())
		if err != nil {
			return err
		}
		return s.Invalidate()
	})
	get("/renew", func(_ http.ResponseWriter, r *http.Request) error {
		return a.sessions.Renew(r.Context())
	})
	get("/race", func(_ http.ResponseWriter, r *http.Request) error {
		b, err := a.db.Bucket(r.Context(), "app")
		if err != nil {
			return err
		}
		if _, err := b.Get([]byte("k")); err != nil {
			return err
		}
		a.ahead()
		return b.Put([]byte("k"), []byte("race"))
	})
	get("/put", func(_ http.ResponseWriter, r *http.Request) error {
		b, err := a.db.Bucket(r.Context(), "app")
		if err != nil {
			return err
		}
		for range b.Range(storage.Range{From: []byte("a"), To: []byte("j")}) {
			return errors.New("it is empty")
		}
		return b.Put([]byte("k"), []byte("put"))
	})
	return r
}

// TestStory sends requests that end in different ways, and compares what the listener is told.
func TestStory(t *testing.T) {
	s, a := &story{}, &app{}
	site := servetest.New(t, "testdata/site.ini", func(r *pipeline.Registry) {
		pipeline.Filter(r, "egg:test#listen",
			func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
				b.Observe(s)
				return func(next http.Handler) http.Handler { return next }, nil
			})
		pipeline.App(r, "egg:test#app", func(b *pipeline.Build, s struct {
			Data string
		},
		) (http.Handler, error) {
			var err error
			if a.db, err = b.Storage(s.Data); err != nil {
				return nil, err
			}
			if a.sessions, err = session.NewManager(a.db, session.Config{}); err != nil {
				return nil, err
			}
			return a.routes(), nil
		})
		pipeline.App(r, "egg:test#inside",
			func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
				router := chi.NewRouter()
				router.Get("/x/{id}", func(http.ResponseWriter, *http.Request) {})
				b.Routes(router)
				return http.StripPrefix("/in", router), nil
			})
		pipeline.App(r, "egg:test#mux", func(*pipeline.Build, struct{}) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /pages/{name}", func(http.ResponseWriter, *http.Request) {})
			return mux, nil
		})
	})
	get := func(path string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		site.Handler.ServeHTTP(w, r)
	}
	a.ahead = sync.OnceFunc(func() { get("/put") })
	browser := site.Browser()
	for _, tt := range []struct {
		path string
		call func(path string)
		want string
	}{
		{"/items/7", get, `
r1 begins: GET /items/7
r1 attempt 1 of 3
r1 decided: committed, 200
r1 attempt 1: committed, 200, again false, error false
r1 ends: app "/items/{id}" 200, 1 attempts, 0 lost, "committed", panicked false`},
		{"/docs/pages/a", get, `
r1 begins: GET /docs/pages/a
r1 ends: mux "/docs/pages/{name}" 200, 0 attempts, 0 lost, "", panicked false`},
		{"/hidden/in/x/1", get, `
r1 begins: GET /hidden/in/x/1
r1 ends: inside "/hidden/x/{id}" 200, 0 attempts, 0 lost, "", panicked false`},
		{"/veto", get, `
r1 begins: GET /veto
r1 attempt 1 of 3
r1 decided: vetoed, 503
r1 attempt 1: vetoed, 503, again false, error false
r1 ends: app "/veto" 503, 1 attempts, 0 lost, "vetoed", panicked false`},
		{"/doom", get, `
r1 begins: GET /doom
r1 attempt 1 of 3
r1 decided: doomed, 200
r1 attempt 1: doomed, 200, again false, error false
r1 ends: app "/doom" 200, 1 attempts, 0 lost, "doomed", panicked false`},
		{"/fail", get, `
r1 begins: GET /fail
r1 attempt 1 of 3
r1 decided: aborted, 200
r1 attempt 1: aborted, 200, again false, error true
r1 ends: app "/fail" 500, 1 attempts, 0 lost, "aborted", panicked false`},
		{"/panic", get, `
r1 begins: GET /panic
r1 attempt 1 of 3
r1 decided: aborted, 200
r1 attempt 1: aborted, 200, again false, error false
r1 ends: app "/panic" 500, 1 attempts, 0 lost, "aborted", panicked true`},
		{"/race", get, `
r1 begins: GET /race
r1 attempt 1 of 3
r1 joined: storage:DATA
r1 get app/k, 0 bytes
r2 begins: GET /put
r2 attempt 1 of 3
r2 joined: storage:DATA
r2 range app/a..j, 0 bytes
r2 put app/k, 3 bytes
r2 commit of 1
r2 in a group of 1
r2 committed: true
r2 decided: committed, 200
r2 attempt 1: committed, 200, again false, error false
r2 ends: app "/put" 200, 1 attempts, 0 lost, "committed", panicked false
r1 put app/k, 4 bytes
r1 commit of 1
r1 lost app/k to r2
r1 committed: false
r1 decided: conflict, 200
r1 attempt 1: conflict, 200, again true, error true
r1 queued for app/k, 0 ahead, granted true
r1 attempt 2 of 3
r1 joined: storage:DATA
r1 get app/k, 3 bytes
r1 put app/k, 4 bytes
r1 commit of 1
r1 in a group of 1
r1 committed: true
r1 decided: committed, 200
r1 attempt 2: committed, 200, again false, error false
r1 ends: app "/race" 200, 2 attempts, 1 lost, "committed", panicked false`},
		{"/flush", func(path string) { browser.Get(path) }, `
r1 begins: GET /flush
r1 attempt 1 of 3
r1 released, hijacked false
r1 decided: committed, 200
r1 attempt 1: committed, 200, again false, error false
r1 ends: app "/flush" 200, 1 attempts, 0 lost, "committed", panicked false`},
		{"/large", get, `
r1 begins: GET /large
r1 attempt 1 of 3
r1 spooled, response true
r1 decided: committed, 200
r1 attempt 1: committed, 200, again false, error false
r1 ends: app "/large" 200, 1 attempts, 0 lost, "committed", panicked false`},
		{"/login", func(path string) { browser.Get(path) }, `
r1 begins: GET /login
r1 attempt 1 of 3
r1 joined: storage:DATA
r1 joined: session:session
r1 commit of 2
r1 in a group of 1
r1 committed: true
r1 session begun
r1 decided: committed, 200
r1 attempt 1: committed, 200, again false, error false
r1 ends: app "/login" 200, 1 attempts, 0 lost, "committed", panicked false`},
	} {
		t.Run(tt.path[1:], func(t *testing.T) {
			s.take()
			func() {
				defer func() { _ = recover() }()
				tt.call(tt.path)
			}()
			got := s.take()
			got = strings.ReplaceAll(got, a.db.Name(), "DATA")
			if diff := gocmp.Diff(strings.TrimPrefix(tt.want, "\n"), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, tt := range [][2]string{
		{"/renew", "session renewed"}, {"/logout", "session invalidated"},
	} {
		browser.Get(tt[0])
		if got := s.take(); !strings.Contains(got, tt[1]) {
			t.Errorf("%s: got\n%s\nwant %q", tt[0], got, tt[1])
		}
	}
}
