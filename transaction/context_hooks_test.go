package transaction_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/transaction"
)

// AfterCommit and OnAbort are called for the outcome that they name, and for no other.
func TestHooksOfContext(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	for name, tt := range map[string]struct {
		end  func(ctx context.Context, txn *transaction.Txn)
		want []string
	}{
		"commit": {
			func(ctx context.Context, txn *transaction.Txn) { _ = txn.Commit(ctx) },
			[]string{"committed", "committed again"},
		},
		"abort": {
			func(ctx context.Context, txn *transaction.Txn) { _ = txn.Abort(ctx) },
			[]string{"aborted"},
		},
		"a commit that fails": {func(ctx context.Context, txn *transaction.Txn) {
			txn.BeforeCommit(func(context.Context) error { return errNo })
			_ = txn.Commit(ctx)
			_ = txn.Abort(ctx)
		}, []string{"aborted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			ctx, txn := transaction.Begin(t.Context())
			note := func(text string) func(context.Context) { return func(context.Context) { got = append(got, text) } }
			for _, err := range []error{
				transaction.AfterCommit(ctx, note("committed")),
				transaction.OnAbort(ctx, note("aborted")),
				transaction.AfterCommit(ctx, note("committed again")),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			tt.end(ctx, txn)
			if !slices.Equal(got, tt.want) {
				t.Errorf("called %q, want %q", got, tt.want)
			}
			if err := transaction.AfterCommit(ctx, note("late")); !errors.Is(err,
				transaction.ErrEnded) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
	if err := transaction.OnAbort(t.Context(), func(context.Context) {}); !errors.Is(err,
		transaction.ErrNoTransaction) {
		t.Errorf("without a transaction: %v", err)
	}
}
