package visitor_test

import (
	"errors"
	"testing"

	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/transaction"
)

// A renewal follows its transaction: commit, abort, and savepoints from before it and after it.
func TestRenewFollowsTheTransaction(t *testing.T) {
	t.Parallel()
	g := &guest{id: "old"}
	c := &visitor.Context{Context: t.Context(), Visitor: g}
	want := func(txn *transaction.Txn, inside, outside string) {
		t.Helper()
		id, ok := c.Renewed(txn)
		if !ok {
			id = g.id
		}
		if id != inside || g.id != outside {
			t.Errorf("got %q inside and %q outside, want %q and %q", id, g.id, inside, outside)
		}
	}

	ctx, txn := transaction.Begin(c)
	before, err := txn.Savepoint()
	must(t, err)
	must(t, c.Renew(txn, "one"))
	after, err := txn.Savepoint()
	must(t, err)
	must(t, c.Renew(txn, "two"))
	want(txn, "two", "old")
	must(t, after.Rollback())
	want(txn, "one", "old")
	must(t, before.Rollback())
	want(txn, "old", "old")
	must(t, txn.Commit(ctx))
	want(txn, "old", "old")

	ctx, txn = transaction.Begin(c)
	before, err = txn.Savepoint()
	must(t, err)
	must(t, c.Renew(txn, "one"))
	must(t, before.Rollback())
	must(t, c.Renew(txn, "three"))
	want(txn, "three", "old")
	must(t, txn.Commit(ctx))
	want(txn, "three", "three")

	ctx, txn = transaction.Begin(c)
	must(t, c.Renew(txn, "four"))
	must(t, txn.Abort(ctx))
	want(txn, "three", "three")
	if err := c.Renew(txn, "five"); !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("after the end: got %v, want ErrEnded", err)
	}

	ctx, txn = transaction.Begin(t.Context())
	defer txn.Abort(ctx)
	inner := &visitor.Context{Context: ctx, Visitor: g}
	if err := inner.Renew(txn, "six"); !errors.Is(err, visitor.ErrBehindTransaction) {
		t.Errorf("inside of the transaction: got %v, want ErrBehindTransaction", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
