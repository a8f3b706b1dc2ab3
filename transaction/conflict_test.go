package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A knower is a data manager that knows of a conflict.
type knower struct {
	conflict  error
	commitErr error
}

func (*knower) SortKey() string                              { return "knower" }
func (k *knower) Commit(context.Context, resource.Txn) error { return k.commitErr }
func (*knower) Abort(context.Context, resource.Txn) error    { return nil }
func (k *knower) Conflict(context.Context) error             { return k.conflict }

var errRace = transaction.Transient(errors.New("lost a race"))

func TestConflict(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	begin := func(k *knower) *transaction.Txn {
		_, txn := transaction.Begin(ctx)
		if err := txn.Join(k); err != nil {
			t.Fatal(err)
		}
		return txn
	}
	for name, tt := range map[string]struct {
		knower knower
		end    func(txn *transaction.Txn)
		want   bool
	}{
		"none":   {knower{}, func(*transaction.Txn) {}, false},
		"active": {knower{conflict: errRace}, func(*transaction.Txn) {}, true},
		"not transient": {
			knower{conflict: errors.New("a fault")},
			func(*transaction.Txn) {}, false,
		},
		"doomed": {
			knower{conflict: errRace},
			func(txn *transaction.Txn) { _ = txn.Doom() }, true,
		},
		"aborted": {
			knower{conflict: errRace},
			func(txn *transaction.Txn) { _ = txn.Abort(ctx) }, true,
		},
		"committed": {
			knower{conflict: errRace},
			func(txn *transaction.Txn) { _ = txn.Commit(ctx) }, false,
		},
		"commit failed": {
			knower{commitErr: errRace},
			func(txn *transaction.Txn) { _ = txn.Commit(ctx) }, true,
		},
		"commit failed, abort": {
			knower{commitErr: errRace},
			func(txn *transaction.Txn) { _ = txn.Commit(ctx); _ = txn.Abort(ctx) }, true,
		},
		"commit in doubt": {knower{commitErr: fmt.Errorf("%w: %w", transaction.ErrInDoubt,
			errRace), conflict: errRace}, func(txn *transaction.Txn) { _ = txn.Commit(ctx) }, false},
		"partly kept": {knower{commitErr: fmt.Errorf("%w: %w", transaction.ErrPartlyKept,
			errRace), conflict: errRace}, func(txn *transaction.Txn) { _ = txn.Commit(ctx) }, false},
		"commit failed by fault": {
			knower{commitErr: errors.New("a fault")},
			func(txn *transaction.Txn) { _ = txn.Commit(ctx) }, false,
		},
	} {
		txn := begin(&tt.knower)
		tt.end(txn)
		if got := txn.Conflict(ctx); (got != nil) != tt.want || got != nil &&
			!errors.Is(got, errRace) {
			t.Errorf("%s: got %v", name, got)
		}
		_ = txn.Abort(ctx)
	}
}

// Work that fails in another way after a conflict is run again, and its error tells of both.
func TestRunAfterSwallowedConflict(t *testing.T) {
	t.Parallel()
	fault := errors.New("sorry")
	attempts := 0
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		attempts++
		txn, _ := transaction.FromContext(ctx)
		if err := txn.Join(&knower{conflict: errRace}); err != nil {
			return err
		}
		return fault
	})
	if attempts != 3 || !errors.Is(err, fault) || !errors.Is(err, errRace) ||
		!transaction.IsTransient(err) {
		t.Errorf("got %v after %d attempts", err, attempts)
	}
	attempts = 0
	err = transaction.Run(t.Context(), func(context.Context) error { attempts++; return fault })
	if attempts != 1 || transaction.IsTransient(err) {
		t.Errorf("without a conflict: got %v after %d attempts", err, attempts)
	}
}
