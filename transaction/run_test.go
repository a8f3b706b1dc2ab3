package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func TestRun(t *testing.T) {
	t.Parallel()
	plain, busy := errors.New("plain"), errors.New("busy")
	tests := []struct {
		name  string
		fails map[string]string
		f     func(ctx context.Context, t *transaction.Txn, attempt int) error
		want  error
		log   []string
	}{
		{
			"success", nil, func(context.Context, *transaction.Txn, int) error { return nil }, nil,
			[]string{"a.commit"},
		},
		{
			"error", nil, func(context.Context, *transaction.Txn, int) error { return plain }, plain,
			[]string{"a.abort"},
		},
		{
			"transient once", nil,
			func(_ context.Context, _ *transaction.Txn, n int) error {
				if n == 1 {
					return luckless("x")
				}
				return nil
			},
			nil,
			[]string{"a.abort", "a.commit"},
		},
		{
			"conflict at every commit",
			map[string]string{"commit": "transient"},
			func(context.Context, *transaction.Txn, int) error { return nil },
			luckless("a.commit"), slices.Repeat([]string{"a.commit", "a.abort"}, 3),
		},
		{
			"commit in doubt",
			map[string]string{"commit": "doubt"},
			func(context.Context, *transaction.Txn, int) error { return nil },
			transaction.ErrInDoubt,
			[]string{"a.commit", "a.abort"},
		},
		{
			"a data manager judges", nil,
			func(_ context.Context, _ *transaction.Txn, n int) error {
				if n == 1 {
					return busy
				}
				return nil
			},
			nil,
			[]string{"a.abort", "a.commit"},
		},
		{"doomed", nil, func(_ context.Context, t *transaction.Txn,
			_ int,
		) error {
			return t.Doom()
		}, transaction.ErrDoomed, []string{"a.abort"}},
		{
			"committed by hand", nil,
			func(ctx context.Context, t *transaction.Txn, _ int) error { return t.Commit(ctx) },
			transaction.ErrEnded,
			[]string{"a.commit"},
		},
		{
			"abort fails",
			map[string]string{"abort": "error"},
			func(context.Context, *transaction.Txn, int) error { return plain },
			boom("a.abort"),
			[]string{"a.abort"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log []string
			n := 0
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				n++
				txn, _ := transaction.FromContext(ctx)
				dm := &judge{
					script{name: "a", fails: tt.fails, log: &log},
					func(err error) bool { return errors.Is(err, busy) },
				}
				if err := txn.Join(dm); err != nil {
					return err
				}
				return tt.f(ctx, txn, n)
			})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !slices.Equal(log, tt.log) {
				t.Errorf("got %v, want %v", log, tt.log)
			}
		})
	}
}

func TestRunPanic(t *testing.T) {
	t.Parallel()
	var log []string
	defer func() {
		if v := recover(); v != "handler" || !slices.Equal(log, []string{"a.abort"}) {
			t.Errorf("panic %v, log %v", v, log)
		}
	}()
	_ = transaction.Run(t.Context(), func(ctx context.Context) error {
		txn, _ := transaction.FromContext(ctx)
		if err := txn.Join(&script{name: "a", log: &log}); err != nil {
			return err
		}
		panic("handler")
	})
}

// Work whose caller has gone is not kept.
func TestRunCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var log []string
	err := transaction.Run(ctx, func(ctx context.Context) error {
		txn, _ := transaction.FromContext(ctx)
		cancel()
		return txn.Join(&script{name: "a", log: &log})
	})
	if !errors.Is(err, context.Canceled) || !slices.Equal(log, []string{"a.abort"}) {
		t.Errorf("got %v, %v", err, log)
	}
}

func TestRunPolicy(t *testing.T) {
	t.Parallel()
	f := func(context.Context) error { t.Error("ran"); return nil }
	if transaction.Run(t.Context(), f, transaction.Policy{Tries: -1}) == nil {
		t.Error("a policy that isn't valid is accepted")
	}
	if transaction.Run(t.Context(), f, transaction.Policy{}, transaction.Policy{}) == nil {
		t.Error("two policies are accepted")
	}
}

// What may have been done is not done again, whatever a policy says.
func TestRunInDoubt(t *testing.T) {
	t.Parallel()
	for _, fails := range []string{"doubt", "panic"} {
		attempts := 0
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			attempts++
			txn, _ := transaction.FromContext(ctx)
			return txn.Join(&script{
				name: "a", log: new([]string),
				fails: map[string]string{"commit": fails},
			})
		}, transaction.Policy{Retryable: func(error) bool { return true }})
		if !errors.Is(err, transaction.ErrInDoubt) || attempts != 1 {
			t.Errorf("%s: got %v after %d attempts, want one and ErrInDoubt", fails, err, attempts)
		}
	}
}

// What f, or a goroutine that it has left over, has committed is not done once more, whatever f
// returns.
func TestRunAfterACommitOfItsOwn(t *testing.T) {
	t.Parallel()
	lost := transaction.Transient(errors.New("lost"))
	for _, fails := range []error{nil, lost} {
		for _, leftOver := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, left over %t", fails, leftOver), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					runs, commits := 0, 0
					err := transaction.Run(t.Context(), func(ctx context.Context) error {
						runs++
						txn, _ := transaction.FromContext(ctx)
						if err := txn.Join(&inspect{func(context.Context, resource.Txn) {
							time.Sleep(time.Second)
							commits++
						}}); err != nil {
							t.Error(err)
						}
						if !leftOver {
							return errors.Join(txn.Commit(ctx), fails)
						}
						go func() { _ = txn.Commit(ctx) }()
						synctest.Wait() // its data manager is at it
						return fails
					})
					want := fails
					if want == nil {
						want = transaction.ErrEnded // the Commit of Run
					}
					if runs != 1 || commits != 1 || !errors.Is(err, want) {
						t.Errorf("got %v after %d runs and %d commits", err, runs, commits)
					}
				})
			})
		}
	}
}
