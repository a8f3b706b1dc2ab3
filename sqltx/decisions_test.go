package sqltx_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

var _ recovery.Recorder = (*sqltx.DB)(nil)

// Every process that starts finds or makes the same table, and the same identity in it.
func TestNewAtOnce(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dsn := s.source(t)
			ids := make([]string, 10)
			var wg sync.WaitGroup
			for i := range ids {
				pool := openPool(t, s.driver, dsn)
				wg.Go(func() {
					db, err := sqltx.New(t.Context(), pool, sqltx.Options{})
					if err != nil {
						t.Error(err)
						return
					}
					ids[i] = db.RecorderID()
				})
			}
			wg.Wait()
			for _, id := range ids {
				if id == "" || id != ids[0] {
					t.Fatalf("got %q, want one identity", ids)
				}
			}
			other := newDB(t, openPool(t, s.driver, s.source(t)), sqltx.Options{})
			if other.RecorderID() == ids[0] {
				t.Error("another database has the same identity")
			}
		})
	}
}

// preparer is a data manager that can prepare, and counts its ends.
type preparer struct {
	id, recorder  string
	finish, abort int
	prepare       func(ctx context.Context, t resource.Txn) error
}

func (r *preparer) SortKey() string { return "a preparer" }

func (r *preparer) Prepare(ctx context.Context, t resource.Txn) error {
	r.id, r.recorder = t.ID(), t.Recorder()
	if r.prepare != nil {
		return r.prepare(ctx, t)
	}
	return nil
}

func (r *preparer) Commit(context.Context, resource.Txn) error {
	return errors.New("want Prepare and Finish")
}
func (r *preparer) Finish(context.Context, resource.Txn) error { r.finish++; return nil }
func (r *preparer) Abort(context.Context, resource.Txn) error  { r.abort++; return nil }

// together adds 1 to "a" in a transaction that r is part of.
func together(t *testing.T, e *env, r *preparer) error {
	t.Helper()
	return transaction.Run(t.Context(), func(ctx context.Context) error {
		txn, _ := transaction.FromContext(ctx)
		if err := txn.Join(r); err != nil {
			return err
		}
		return e.add(ctx, "a", 1)
	}, once)
}

func (e *env) decided(t *testing.T, id string, want bool) {
	t.Helper()
	for name, ask := range map[string]func(context.Context, string) (bool, error){"Decided": e.db.Decided, "Settle": e.db.Settle} {
		if got, err := ask(t.Context(), id); err != nil || got != want {
			t.Errorf("%s: got %t, %v, want %t", name, got, err, want)
		}
	}
}

func TestDecision(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		r := &preparer{}
		if err := together(t, e, r); err != nil {
			t.Fatal(err)
		}
		if r.finish != 1 || r.abort != 0 {
			t.Errorf("finished %d times, aborted %d times", r.finish, r.abort)
		}
		if r.recorder != e.db.RecorderID() {
			t.Errorf("recorder: got %q, want %q", r.recorder, e.db.RecorderID())
		}
		e.decided(t, r.id, true)

		if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
			t.Fatal(err)
		}
		if got := e.records(t); got != 1 {
			t.Errorf("%d commits are recorded, want 1: nobody depends on the other", got)
		}
		if err := e.db.Close(); err != nil {
			t.Fatal(err)
		}
		if got := e.records(t); got != 0 {
			t.Errorf("after Close: %d commits are recorded, want 0", got)
		}
	})
}

func TestNoDecisions(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Decisions: sqltx.DecideNever, Name: "shop"}, func(e *env) {
		t := e.t
		r := &preparer{}
		if err := together(t, e, r); err != nil {
			t.Fatal(err)
		}
		if r.recorder != "" || r.finish != 1 {
			t.Errorf("recorder: %q, finished %d times", r.recorder, r.finish)
		}
		if _, err := e.db.Decided(t.Context(), r.id); err == nil || err.Error() != "sqltx: shop: no decisions are recorded here" {
			t.Errorf("got %v", err)
		}
		if err := e.pool.QueryRowContext(t.Context(), "SELECT id FROM pasteline_decided").Scan(new(string)); err == nil {
			t.Error("there is a table")
		}
	})
}

// A commit that recovery has given up fails and drops the work that others prepared. Nothing was
// committed, so the error is transient: the next attempt commits, once.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		for _, lost := range []int{1, 2} {
			r, attempts := &preparer{}, 0
			var givenUp string
			before := e.value(t, "a")
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				txn, _ := transaction.FromContext(ctx)
				if err := txn.Join(r); err != nil {
					return err
				}
				if attempts++; attempts <= lost {
					givenUp = txn.ID()
					if committed, err := e.db.Settle(ctx, givenUp); err != nil || committed {
						t.Errorf("Settle: got %t, %v, want false", committed, err)
					}
				}
				return e.add(ctx, "a", 1)
			}, transaction.Policy{Tries: 2})
			e.decided(t, givenUp, false)
			if attempts != 2 {
				t.Errorf("%d attempts, want 2", attempts)
			}
			if lost == 1 {
				if err != nil || r.abort != 1 || r.finish != 1 {
					t.Errorf("got %v, %d aborts, %d finishes; want none, 1, 1", err, r.abort, r.finish)
				}
				e.decided(t, r.id, true)
				e.want(t, "a", before+1)
				continue
			}
			const want = "sqltx: shop: recovery has aborted the transaction, which it took for lost: " +
				"the prepared work of others is gone"
			if err == nil || err.Error() != want || !transaction.IsTransient(err) {
				t.Errorf("got %v, want the transient error %q", err, want)
			}
			if r.abort != 2 || r.finish != 0 {
				t.Errorf("%d aborts, %d finishes; want 2, 0", r.abort, r.finish)
			}
			e.want(t, "a", before)
		}
	})
}

// While a commit is slow, Settle waits for it, or the other way round: they never disagree.
func TestSettleDuringCommit(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		for i := range 20 {
			var settled bool
			var wg sync.WaitGroup
			r := &preparer{prepare: func(_ context.Context, txn resource.Txn) error {
				id := txn.ID()
				wg.Go(func() {
					var err error
					if settled, err = e.db.Settle(t.Context(), id); err != nil {
						t.Error(err)
					}
				})
				return nil
			}}
			before := e.value(t, "a")
			err := together(t, e, r)
			wg.Wait()
			if (err == nil) != settled {
				t.Fatalf("round %d: commit: %v, settled: %t", i, err, settled)
			}
			if settled {
				before++
			}
			e.want(t, "a", before)
			e.decided(t, r.id, settled)
		}
	})
}

func TestSettleAtOnce(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if committed, err := e.db.Settle(t.Context(), "NEVERHEARDOF"); err != nil || committed {
					t.Errorf("got %t, %v, want false", committed, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestIDThatIsNone(t *testing.T) {
	t.Parallel()
	e := newEnv(t, servers[0], sqltx.Options{Name: "shop"})
	for _, id := range []string{"", "x'; DROP TABLE counter; --", "decider-id", strings.Repeat("A", 65)} {
		_, err := e.db.Settle(t.Context(), id)
		if err == nil || !strings.Contains(err.Error(), "is no id of a transaction: want up to 64 letters and digits") {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

// Records of what is finished go, a hundred at a time.
func TestForget(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]sqltx.Options{"for others": {}, "always": {Decisions: sqltx.DecideAlways}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, servers[0], options)
			mem := memory.New("scratch")
			for i := range 250 {
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					if options.Decisions == sqltx.DecideForOthers {
						if err := put(ctx, mem, "written"); err != nil {
							return err
						}
					}
					return e.add(ctx, "a", 1)
				})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := e.records(t), (i+1)%100; got != want {
					t.Fatalf("after %d commits: %d are recorded, want %d", i+1, got, want)
				}
			}
			if err := e.db.Close(); err != nil {
				t.Fatal(err)
			}
			if got := e.records(t); got != 0 {
				t.Errorf("after Close: %d are recorded", got)
			}
			e.want(t, "a", 250)
		})
	}
}
