// Command site is the server of the soak: serve with an app of typical handlers, behind time-outs
// inside and outside of tm.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

func main() { serve.Main(register) }

func register(r *pipeline.Registry) {
	pipeline.Filter(r, "egg:soak#timeout", newTimeout)
	pipeline.App(r, "egg:soak#app", newApp)
	pipeline.App(r, "egg:soak#state", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return handler.Func(state), nil
	})
}

type timeoutSettings struct {
	After time.Duration `ini:"after" required:"true" help:"how long a handler may take"`
}

// newTimeout returns the time-out of the standard library, which leaves the handler running.
func newTimeout(_ *pipeline.Build, s timeoutSettings) (func(http.Handler) http.Handler, error) {
	return func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, s.After,
			"too late\n")
	}, nil
}

func state(w http.ResponseWriter, _ *http.Request) error {
	state, err := sites.ReadState()
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(state)
}

type appSettings struct {
	Database string        `ini:"database" required:"true" help:"where sessions are kept"`
	Timeout  time.Duration `ini:"timeout" required:"true" help:"life of an unused session"`
	Slow     time.Duration `ini:"slow" required:"true" help:"how long /slow takes"`
}

type app struct {
	sessions *session.Manager
	slow     time.Duration
}

func newApp(b *pipeline.Build, s appSettings) (http.Handler, error) {
	db, err := b.Storage(s.Database)
	if err != nil {
		return nil, &pipeline.Error{Key: "database", Err: err}
	}
	sessions, err := session.NewManager(db, session.Config{Timeout: s.Timeout,
		Period: s.Timeout / 15, Logger: b.Logger()})
	if err != nil {
		return nil, err
	}
	b.OnClose(sessions.StartSweeper(b.Context()).Close)
	b.RequireSessions(sessions)
	a := &app{sessions, s.Slow}
	mux := http.NewServeMux()
	mux.Handle("GET /hello",
		handler.Func(func(w http.ResponseWriter, _ *http.Request) error { return answer(w, 0) }))
	mux.Handle("GET /read", handler.Func(a.read))
	mux.Handle("POST /incr", handler.Func(a.incr))
	mux.Handle("POST /savepoint", handler.Func(a.savepoint))
	mux.Handle("POST /login", handler.Func(a.login))
	mux.Handle("POST /slow", handler.Func(a.tooSlow))
	mux.Handle("POST /upload", handler.Func(upload))
	mux.Handle("GET /large", handler.Func(large))
	return mux, nil
}

func answer(w http.ResponseWriter, n int) error {
	_, err := io.WriteString(w, strconv.Itoa(n))
	return err
}

func (a *app) count(r *http.Request) (*session.Session, int, error) {
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return nil, 0, err
	}
	n, _, err := session.Get[int](s, "n")
	return s, n, err
}

func (a *app) read(w http.ResponseWriter, r *http.Request) error {
	_, n, err := a.count(r)
	if err != nil {
		return err
	}
	return answer(w, n)
}

func (a *app) incr(w http.ResponseWriter, r *http.Request) error {
	s, n, err := a.count(r)
	if err != nil {
		return err
	}
	if err := s.Set("n", n+1); err != nil {
		return err
	}
	return answer(w, n+1)
}

// savepoint adds one, and rolls back a later addition.
func (a *app) savepoint(w http.ResponseWriter, r *http.Request) error {
	s, n, err := a.count(r)
	if err != nil {
		return err
	}
	if err := s.Set("n", n+1); err != nil {
		return err
	}
	t, ok := transaction.FromContext(r.Context())
	if !ok {
		return transaction.ErrEnded
	}
	point, err := t.Savepoint()
	if err != nil {
		return err
	}
	if err := s.Set("n", n+1000); err != nil {
		return err
	}
	if err := point.Rollback(); err != nil {
		return err
	}
	return answer(w, n+1)
}

// login adds one, and gives the browser a new id.
func (a *app) login(w http.ResponseWriter, r *http.Request) error {
	s, n, err := a.count(r)
	if err != nil {
		return err
	}
	if err := s.Set("n", n+1); err != nil {
		return err
	}
	if err := a.sessions.Renew(r.Context()); err != nil {
		return err
	}
	return answer(w, n+1)
}

// tooSlow continues in its transaction after the time-out has answered the request, and calls
// everything that a handler may call there.
func (a *app) tooSlow(w http.ResponseWriter, r *http.Request) error {
	s, n, err := a.count(r)
	if err != nil {
		return err
	}
	t, ok := transaction.FromContext(r.Context())
	for end := time.Now().Add(a.slow); time.Now().Before(end); time.Sleep(a.slow / 20) {
		if err := s.Set("n", n+1); err != nil {
			return err
		}
		if ok {
			if point, err := t.Savepoint(); err != nil {
				return err
			} else if err := point.Rollback(); err != nil {
				return err
			}
		}
	}
	return answer(w, n+1)
}

func upload(w http.ResponseWriter, r *http.Request) error {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return err
	}
	return answer(w, int(n))
}

const largeSize = 8_000_000

func large(w http.ResponseWriter, _ *http.Request) error {
	chunk := strings.Repeat("x", 32<<10)
	for sent := 0; sent < largeSize; sent += len(chunk) {
		if _, err := fmt.Fprint(w, chunk); err != nil {
			return err
		}
	}
	return nil
}
