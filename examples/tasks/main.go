// Command tasks shows the most frequent calls, each in a function of its own.
//
//	go run ./examples/tasks examples/tasks/tasks.ini
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func main() { serve.Main(register) }

// Register an app and a filter under the names that .ini files use.
func register(r *pipeline.Registry) {
	pipeline.App(r, "egg:tasks", newSite)
	pipeline.Filter(r, "egg:tasks#stamp", newStamp)
	r.Engine("slow", openSlow)
}

// Write a filter with settings.
func newStamp(_ *pipeline.Build, s struct {
	Text string `required:"true" help:"the value of the header field X-Stamp"`
},
) (func(http.Handler) http.Handler, error) {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Stamp", s.Text)
			next.ServeHTTP(w, r)
		})
	}, nil
}

type site struct {
	db       *storage.DB
	sessions *session.Manager
	hasSQL   bool // db is PostgreSQL
}

//go:embed *.sql
var migrations embed.FS

// Make an app with a database and sessions; mount a chi router; run a job beside the server.
func newSite(b *pipeline.Build, s struct {
	ZodbURI string `ini:"zodb_uri" required:"true" help:"the database"`
},
) (http.Handler, error) {
	db, err := b.Storage(s.ZodbURI)
	if err != nil {
		return nil, &pipeline.Error{Key: "zodb_uri", Err: err}
	}
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		return nil, err
	}
	b.RequireSessions(sessions)
	b.OnClose(sessions.StartSweeper(b.Context()).Close)
	app := &site{db: db, sessions: sessions, hasSQL: strings.HasPrefix(s.ZodbURI, "postgres:")}
	if app.hasSQL {
		if err := postgres.Migrate(b.Context(), db, "tasks", migrations); err != nil {
			return nil, err
		}
	}
	b.Every(time.Hour, app.tidy)
	r := chi.NewRouter()
	r.Get("/", handler.Func(app.count))
	r.Post("/login", handler.Func(app.login))
	r.Post("/logout", handler.Func(app.logout))
	r.Get("/user", handler.Func(app.user))
	r.Post("/order", handler.Func(app.order))
	b.Routes(r)
	return r, nil
}

// Read and write a typed value of the session.
func (a *site) count(w http.ResponseWriter, r *http.Request) error {
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	n, _, err := session.Get[int](s, "n")
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "visits:", n+1)
	return s.Set("n", n+1)
}

// Renew the session at log-in, with a new id and token.
func (a *site) login(w http.ResponseWriter, r *http.Request) error {
	if r.FormValue("password") != "correct horse" { // as an example
		return &handler.Error{Status: http.StatusForbidden, Message: "The password is wrong."}
	}
	if err := a.sessions.Renew(r.Context(), session.As(r.FormValue("user"))); err != nil {
		return err
	}
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	token, err := s.CSRFToken()
	fmt.Fprintln(w, token)
	return err
}

// Check the token against cross-site request forgery, and end the session.
func (a *site) logout(_ http.ResponseWriter, r *http.Request) error {
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	if ok, err := s.CheckCSRFToken(r.FormValue("csrf_token")); err != nil || !ok {
		message := "Send the form again."
		return &handler.Error{Status: http.StatusForbidden, Message: message, Err: err}
	}
	return s.Invalidate()
}

// Find out which user has logged in.
func (a *site) user(w http.ResponseWriter, r *http.Request) error {
	s, err := a.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	name, ok, err := s.User()
	if err != nil {
		return err
	}
	if !ok {
		return &handler.Error{Status: http.StatusUnauthorized, Message: "Log in first."}
	}
	fmt.Fprintln(w, name)
	return nil
}

// Return an error that the client may read; do something after the commit; use a savepoint.
func (a *site) order(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	txn, ok := transaction.FromContext(ctx)
	if !ok {
		return transaction.ErrNoTransaction
	}
	savepoint, err := txn.Savepoint()
	if err != nil {
		return err
	}
	switch err := a.take(ctx, r.FormValue("item")); {
	case errors.Is(err, errSoldOut):
		if err := savepoint.Rollback(); err != nil {
			return err
		}
		return &handler.Error{Status: http.StatusConflict, Message: "It is sold out.", Err: err}
	case err != nil:
		return err
	}
	if a.hasSQL {
		if err := addOrder(ctx, a.db, r.FormValue("item")); err != nil {
			return err
		}
	}
	if err := printReceipt(ctx, "one "+r.FormValue("item")); err != nil {
		return err
	}
	fmt.Fprintln(w, "thank you")
	return transaction.AfterCommit(ctx, func(context.Context) { fmt.Println("send the mail") })
}

var errSoldOut = errors.New("sold out")

// Read and write storage in the transaction of the request.
func (a *site) take(ctx context.Context, item string) error {
	stock, err := a.db.Bucket(ctx, "stock")
	if err != nil {
		return err
	}
	pieces, err := stock.Get([]byte(item))
	switch {
	case err != nil:
		return err
	case len(pieces) == 0:
		return errSoldOut
	}
	return stock.Put([]byte(item), pieces[1:])
}

// Do a job in a transaction of its own.
func (a *site) tidy(ctx context.Context) error {
	return transaction.Run(ctx, func(ctx context.Context) error {
		stock, err := a.db.Bucket(ctx, "stock")
		if err != nil {
			return err
		}
		return stock.Delete([]byte("old"))
	})
}

// Run SQL of the app's own in the same transaction as the session.
func addOrder(ctx context.Context, db *storage.DB, item string) error {
	tx, err := postgres.Tx(ctx, db)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO orders (item) VALUES ($1)", item)
	return err
}

// Take part in transactions: a data manager that prints a line if all other data managers have
// promised to commit.
type receipt struct{ text string }

func printReceipt(ctx context.Context, text string) error {
	txn, ok := transaction.FromContext(ctx)
	if !ok {
		return transaction.ErrNoTransaction
	}
	return txn.Join(&receipt{text})
}

func (r *receipt) SortKey() string { return "receipt" }

// Prepare promises that Finish will not fail, so that a database can decide over the transaction.
func (r *receipt) Prepare(context.Context, resource.Txn) error { return nil }

func (r *receipt) Finish(context.Context, resource.Txn) error {
	fmt.Println(r.text)
	return nil
}

func (r *receipt) Commit(ctx context.Context, t resource.Txn) error { return r.Finish(ctx, t) }

func (r *receipt) Abort(context.Context, resource.Txn) error { return nil }

// Add a kind of database: an engine, here one that wraps another.
type slow struct{ engine.Engine }

func openSlow(context.Context, *url.URL) (engine.Engine, error) {
	return slow{memory.New("slow").Engine()}, nil
}

func (s slow) Begin(ctx context.Context) (engine.View, error) {
	time.Sleep(time.Millisecond)
	return s.Engine.Begin(ctx)
}
