package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// registerTrouble adds egg:test#trouble, a filter for the inside of tm. The header Trouble says
// what goes wrong:
//
//	panic    the handler panics when it has done its work
//	commit   the commit fails
//	conflict the commit fails in every attempt, with a transient error
//	stall    the handler has done its work, but does not return until its context is done
//
// With every value, and none, it logs when the transaction is decided and when the handler has
// returned.
func registerTrouble(r *pipeline.Registry) {
	pipeline.Filter(r, "egg:test#trouble",
		func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
			logger := b.Logger()
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, path := r.Context(), slog.String("path", r.URL.Path)
					if t, ok := transaction.FromContext(ctx); ok {
						t.AfterCommit(func(ctx context.Context, committed bool) {
							logger.InfoContext(ctx, "decided", path,
								slog.Bool("committed", committed))
						})
						if err := trouble(t, r.Header.Get("Trouble")); err != nil {
							http.Error(w, err.Error(), http.StatusInternalServerError)
							return
						}
					}
					logger.InfoContext(ctx, "called", path)
					next.ServeHTTP(w, r)
					switch r.Header.Get("Trouble") {
					case "panic":
						panic("trouble")
					case "stall":
						<-ctx.Done()
					}
					logger.InfoContext(ctx, "returned", path)
				})
			}, nil
		})
}

func trouble(t *transaction.Txn, what string) error {
	switch what {
	case "commit":
		return t.Join(&failing{errors.New("the disk is full")})
	case "conflict":
		return t.Join(&failing{transaction.Transient(errors.New("always too late"))})
	}
	return nil
}

// failing is a data manager whose commit fails.
type failing struct{ err error }

func (f *failing) SortKey() string                             { return "trouble" }
func (f *failing) Prepare(context.Context, resource.Txn) error { return f.err }
func (f *failing) Finish(context.Context, resource.Txn) error  { return nil }
func (f *failing) Commit(context.Context, resource.Txn) error  { return f.err }
func (f *failing) Abort(context.Context, resource.Txn) error   { return nil }
