package storage_test

import (
	"context"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// beginning tells of the context of each snapshot.
type beginning struct {
	storage.Engine
	contexts chan context.Context
}

func (b beginning) Begin(ctx context.Context) (storage.View, error) {
	b.contexts <- ctx
	return b.Engine.Begin(ctx)
}

// A snapshot lives as long as its transaction, and not as long as the context of the call that happened to come first.
func TestSnapshotOutlivesTheFirstCall(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 1)
	db := storage.New("memory://x", beginning{memory.New("x").Engine(), contexts})
	defer db.Close()
	request, hangUp := context.WithCancel(t.Context())
	ctx, txn := transaction.Begin(request)
	defer func() { _ = txn.Abort(ctx) }()
	call, cancel := context.WithCancel(ctx)
	tx, err := db.Tx(call)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := tx.Bucket("b").Get([]byte("k")); err != nil {
		t.Fatal(err)
	}
	got := <-contexts
	if err := got.Err(); err != nil {
		t.Errorf("after the call: got %v, want none", err)
	}
	if other, _ := transaction.FromContext(got); other != txn {
		t.Error("the context does not carry the transaction")
	}
	hangUp()
	if got.Err() == nil {
		t.Error("after the request: got no error")
	}
}
