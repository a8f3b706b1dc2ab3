package storagetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// both begins a transaction on two databases.
func both(tb testing.TB, one, two *storage.DB) (a, b *client) {
	tb.Helper()
	a = begin(tb, one)
	tx, err := two.Tx(a.ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return a, &client{t: tb, ctx: a.ctx, txn: a.txn, bucket: tx.Bucket("b")}
}

func canPrepare(db *storage.DB) bool {
	p, ok := db.Engine().(engine.Preparer)
	return ok && p.CanPrepare()
}

func testTwoDatabases(t *suite) {
	one, two := t.open(), memory.New("two")
	defer func() { _ = two.Close() }() // releases nothing
	a, b := both(t, one, two)
	a.put("k", "1")
	b.put("k", "2")
	b.want("k", "2")
	a.commit()
	if got := all(t, one) + ", " + all(t, two); got != "k=1, k=2" {
		t.Errorf("committed: got %q", got)
	}

	a, b = both(t, one, two)
	a.put("k", "x")
	b.put("k", "x")
	a.abort()
	if got := all(t, one) + ", " + all(t, two); got != "k=1, k=2" {
		t.Errorf("aborted: got %q", got)
	}

	a, b = both(t, one, two)
	a.want("k", "1") // only a read
	b.put("k", "3")
	a.commit()
	if got := all(t, one) + ", " + all(t, two); got != "k=1, k=3" {
		t.Errorf("one only read: got %q", got)
	}

	// Two databases of the same engine: both commit, or the commit is refused and changes nothing.
	third := t.open()
	a, b = both(t, one, third)
	a.put("k", "4")
	b.put("k", "4")
	err := a.txn.Commit(a.ctx)
	if canPrepare(one) {
		if got := all(t, one) + ", " + all(t, third); err != nil || got != "k=4, k=4" {
			t.Errorf("two that can prepare: %v, got %q", err, got)
		}
		return
	}
	if !errors.Is(err, transaction.ErrOnePhase) || !strings.Contains(err.Error(), one.Name()) ||
		!strings.Contains(err.Error(), third.Name()) {
		t.Errorf("two that can't prepare: got %v, want an error that names both", err)
	}
	if got := all(t, one) + ", " + all(t, third); got != "k=1, " {
		t.Errorf("two that can't prepare: got %q", got)
	}
}

// A conflict in one database leaves both unchanged, and releases prepared work.
func testTwoDatabasesConflict(t *suite) {
	one, two := t.open(), memory.New("two")
	defer func() { _ = two.Close() }() // releases nothing
	set(t, one, "k", "1")
	set(t, two, "k", "1")
	for _, changed := range []*storage.DB{one, two} {
		a, b := both(t, one, two)
		a.get("k")
		b.get("k")
		set(t, changed, "k", "2")
		a.put("k", "x")
		b.put("k", "x")
		wantConflict(t, changed, a.txn.Commit(a.ctx), "k")
		for _, db := range []*storage.DB{one, two} {
			if got := all(t, db); strings.Contains(got, "x") {
				t.Errorf("the conflict left traces: %q", got)
			}
			set(t, db, "k", "1")
		}
	}
}

// A database records a decision exactly if its commit decides over the prepared work of others.
func testDecision(t *suite) {
	db := t.open()
	recorder, ok := db.Engine().(engine.Recorder)
	if !ok {
		t.Skip("the engine does not record decisions")
	}
	decided := func(id string) bool {
		t.Helper()
		yes, err := recorder.Decided(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	commit := func(prepared ...*fakePreparer) (id string, err error) {
		c := begin(t, db)
		c.put("k", "1")
		for _, p := range prepared {
			if err := c.txn.Join(p); err != nil {
				t.Fatal(err)
			}
		}
		err = c.txn.Commit(c.ctx)
		return c.txn.ID(), err
	}
	if id, err := commit(); err != nil || decided(id) {
		t.Errorf("alone: %v, decided %t, want no record", err, decided(id))
	}
	// The sort key of the fake is the first, so the database is the last, and decides.
	id, err := commit(&fakePreparer{finish: errors.New("died")})
	if err != nil || !decided(id) {
		t.Errorf("with another: %v, decided %t, want a record", err, decided(id))
	}
	if yes, err := recorder.Settle(t.Context(), id); err != nil || !yes {
		t.Errorf("settle a committed transaction: got %t, %v", yes, err)
	}
	recorder.Forget(id)
	if id, err := commit(&fakePreparer{err: errors.New("boom")}); err == nil || decided(id) {
		t.Errorf("with a failing one: %v, decided %t, want no record", err, decided(id))
	}
	if decided("never") {
		t.Error("an unknown transaction is decided")
	}

	// A transaction that recovery has aborted can't be committed any more.
	for _, settled := range []bool{false, true} {
		set(t, db, "k", "1")
		c := begin(t, db)
		c.put("k", "2")
		if err := c.txn.Join(&fakePreparer{}); err != nil {
			t.Fatal(err)
		}
		if settled {
			for range 2 {
				if yes, err := recorder.Settle(t.Context(), c.txn.ID()); yes || err != nil {
					t.Errorf("settle: got %t, %v", yes, err)
				}
			}
		}
		err := c.txn.Commit(c.ctx)
		want := "k=2"
		if settled {
			want = "k=1"
		}
		if got := all(t, db); got != want || (err != nil) != settled ||
			transaction.IsTransient(err) != settled {
			t.Errorf("settled %t: got %v, %q, want %q", settled, err, got, want)
		}
		if settled && decided(c.txn.ID()) {
			t.Error("the aborted transaction is decided")
		}
	}
}

// fakePreparer is a data manager that can prepare. Prepare, Commit and Finish return its errors.
type fakePreparer struct{ err, finish error }

func (p *fakePreparer) SortKey() string                             { return "" }
func (p *fakePreparer) Prepare(context.Context, resource.Txn) error { return p.err }
func (p *fakePreparer) Finish(context.Context, resource.Txn) error  { return p.finish }
func (p *fakePreparer) Commit(context.Context, resource.Txn) error  { return p.err }
func (p *fakePreparer) Abort(context.Context, resource.Txn) error   { return nil }
