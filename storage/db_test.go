package storage_test

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
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
	newValue := func(*storage.DB) any { n++; return n }
	if a, b, c := one.Shared(key{}, newValue), two.Shared(key{}, newValue), other.Shared(key{}, newValue); a != b || a == c {
		t.Errorf("got %v, %v and %v, want the first two to be the same", a, b, c)
	}
}

// A closer writes to its database when it is closed.
type closer struct {
	t      *testing.T
	db     *storage.DB
	closed int
}

var errOfCloser = errors.New("an error of a shared value")

func (c *closer) Close() error {
	c.closed++
	put(c.t, c.db, "closed", "yes")
	return errOfCloser
}

// A shared value is closed once, by the last DB, while the database can still be used.
func TestSharedIsClosed(t *testing.T) {
	t.Parallel()
	type key struct{}
	file := filepath.Join(t.TempDir(), "data.db")
	uri := (&url.URL{Scheme: "bolt", Path: file}).String()
	var value *closer
	newValue := func(db *storage.DB) any {
		value = &closer{t: t, db: db}
		return value
	}
	before := newOpener()
	after := before.Renew()
	memory.Register(after)
	bolt.Register(after)
	one, two := mustOpen(t, before, uri), mustOpen(t, after, uri)
	one.Shared(key{}, newValue)
	if err := one.Close(); err != nil || value.closed != 0 {
		t.Errorf("the first: got %v, closed %d times, want it open", err, value.closed)
	}
	put(t, value.db, "open", "yes") // though its creator is closed
	for range 2 {
		if err := two.Close(); !errors.Is(err, errOfCloser) || value.closed != 1 {
			t.Errorf("the last: got %v, closed %d times, want once", err, value.closed)
		}
	}
	again := mustOpen(t, newOpener(), uri)
	for _, key := range []string{"open", "closed"} {
		if got := get(t, again, key); got != "yes" {
			t.Errorf("%s: got %q", key, got)
		}
	}

	// A database that was not opened by URI closes them, too.
	db := storage.New("test", memory.New("test").Engine())
	db.Shared(key{}, newValue)
	if err := db.Close(); !errors.Is(err, errOfCloser) || value.closed != 1 {
		t.Errorf("got %v, closed %d times, want once", err, value.closed)
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
