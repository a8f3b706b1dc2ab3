package transaction_test

import (
	"testing"

	"github.com/pasteline/pasteline/transaction"
)

func TestHasSavepoint(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	if txn.HasSavepoint() {
		t.Error("before any: got true")
	}
	s, err := txn.Savepoint()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	if !txn.HasSavepoint() {
		t.Error("after a rollback to it: got false, but it can be used again")
	}
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if txn.HasSavepoint() {
		t.Error("after the end: got true")
	}
}
