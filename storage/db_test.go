package storage_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// beginning is an engine that records the context of each snapshot.
type beginning struct {
	engine.Engine
	contexts chan context.Context
}

func (b beginning) Begin(ctx context.Context) (engine.View, error) {
	b.contexts <- ctx
	return b.Engine.Begin(ctx)
}

// A snapshot lives as long as its transaction, even if the context of the first call ends earlier.
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

// Shared values belong to one open database, and are the same for all its users.
func TestShared(t *testing.T) {
	t.Parallel()
	type key struct{}
	opener := storage.NewOpener()
	memory.Register(opener)
	open := func(uri string) *storage.DB {
		db, err := opener.Open(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	one, two, other := open("memory://shared"), open("memory://shared"), open("memory://other")
	n := 0
	newValue := func() any { n++; return n }
	if a, b, c := one.Shared(key{}, newValue), two.Shared(key{}, newValue), other.Shared(key{}, newValue); a != b || a == c {
		t.Errorf("got %v, %v and %v, want the first two to be the same", a, b, c)
	}
}

// An embedded database has no clock of its own.
func TestNowOfNoClock(t *testing.T) {
	t.Parallel()
	db := memory.New("test")
	t.Cleanup(func() { _ = db.Close() })
	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := tx.Now(); ok || err != nil {
		t.Errorf("got %t, %v", ok, err)
	}
	if err := txn.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tx.Now(); !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("after the end: got %v, want ErrEnded", err)
	}
}
