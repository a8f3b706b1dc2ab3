package storagetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

func testSnapshot(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "1")
	reader := begin(t, db)
	reader.want("a", "1")

	writer := begin(t, db)
	writer.put("a", "2")
	reader.want("a", "1") // not committed
	writer.put("b", "2")
	writer.put("c", "2")
	writer.commit()
	reader.want("a", "1")
	if t.ReadsConflict {
		reader.mayLose = true
		if got := reader.get("b"); reader.lost == nil {
			t.Errorf("got %q for b, want a conflict: a was changed since it was read", got)
		}
		reader.abort()
		reader = begin(t, db)
		reader.want("a", "2")
		reader.want("b", "2") // there is a snapshot now
		set(t, db, "a", "3", "b", "3")
		reader.want("a", "2")
		if got := reader.list(storage.Range{}, 0); got != "a=2 b=2 c=2" {
			t.Errorf("range: got %q", got)
		}
		reader.commit()
		return
	}
	reader.want("b", "1") // first read only now, from the same snapshot
	if got := reader.list(storage.Range{}, 0); got != "a=1 b=1" {
		t.Errorf("range: got %q", got)
	}
	reader.commit()
	if got := all(t, db); got != "a=2 b=2 c=2" {
		t.Errorf("afterwards: got %q", got)
	}
}

// testConflicts lets a transaction do something, another one commit "k=other", and the first one
// write and commit.
func testConflicts(t *suite) {
	db := t.open()
	for _, tt := range []struct {
		name     string
		before   func(*client)
		conflict bool
	}{
		{"read", func(c *client) { c.get("k") }, true},
		{"read of another key", func(c *client) { c.get("j") }, false},
		{"blind write", func(c *client) { c.get("j"); c.put("k", "x") }, false},
		{"write, then read", func(c *client) { c.get("j"); c.put("k", "x"); c.get("k") }, false},
		{"read, then write", func(c *client) { c.get("k"); c.put("k", "x") }, true},
		{"blind delete", func(c *client) { c.get("j"); c.delete("k") }, false},
		{"delete, then read", func(c *client) { c.get("j"); c.delete("k"); c.get("k") }, false},
		{"snapshot read", func(c *client) { c.bucket = c.bucket.Snapshot(); c.get("k") }, false},
		{"snapshot range", func(c *client) {
			c.bucket = c.bucket.Snapshot()
			c.list(storage.Range{},
				0)
		}, false},
		{"snapshot read with conflict", func(c *client) {
			c.bucket = c.bucket.Snapshot()
			c.get("k")
			if err := c.bucket.AddReadConflict([]byte("k")); err != nil {
				c.t.Error(err)
			}
		}, true},
		{"conflict alone", func(c *client) {
			if err := c.bucket.AddReadConflict([]byte("k")); err != nil {
				c.t.Error(err)
			}
		}, true},
		{"conflict on own write", func(c *client) {
			c.put("k", "x")
			if err := c.bucket.AddReadConflict([]byte("k")); err != nil {
				c.t.Error(err)
			}
		}, true},
	} {
		t.sub(tt.name, func(t *suite) {
			for _, exists := range []bool{true, false} { // reading an absent key is a read, too
				for _, how := range []string{"put", "delete"} {
					if !exists && how == "delete" {
						continue // changes nothing, so it may be a conflict or not
					}
					reset(t, db)
					set(t, db, "j", "1")
					if exists {
						set(t, db, "k", "1")
					}
					c := begin(t, db)
					tt.before(c)
					other := begin(t, db)
					if how == "put" {
						other.put("k", "other")
					} else {
						other.delete("k")
					}
					other.commit()
					c.put("result", "x")
					err := c.txn.Commit(c.ctx)
					if !tt.conflict {
						if err != nil {
							t.Errorf("exists %t, %s: %v, want no conflict", exists, how, err)
						}
						continue
					}
					wantConflict(t, db, err, "k")
					if got := all(t, db); strings.Contains(got, "x") {
						t.Errorf("the conflict left traces: %q", got)
					}
				}
			}
		})
	}
}

func wantConflict(tb testing.TB, db *storage.DB, err error, key string) {
	tb.Helper()
	var e *storage.ConflictError
	if !errors.As(err, &e) {
		tb.Errorf("got %v, want a conflict", err)
		return
	}
	if !transaction.IsTransient(err) {
		tb.Error("the conflict is not transient")
	}
	if e.DB != db.Name() || e.Bucket != "b" || string(e.Key) != key {
		tb.Errorf("got a conflict over %s %q %q, want %s \"b\" %q",
			e.DB, e.Bucket, e.Key, db.Name(), key)
	}
}

// Exactly the part of a range that an iteration went through counts as read.
func testConflictInRanges(t *suite) {
	db := t.open()
	for _, tt := range []struct {
		name     string
		r        storage.Range
		limit    int
		own      string // written before
		changed  string
		conflict bool
	}{
		{"changed", storage.Range{}, 0, "", "c", true},
		{"phantom between", storage.Range{}, 0, "", "cc", true},
		{"phantom at the start", storage.Range{}, 0, "", "a", true},
		{"phantom at the end", storage.Range{}, 0, "", "z", true},
		{"below", bounds("b", "d", false), 0, "", "a", false},
		{"first", bounds("b", "d", false), 0, "", "b", true},
		{"phantom before the end", bounds("b", "d", false), 0, "", "cz", true},
		{"end", bounds("b", "d", false), 0, "", "d", false},
		{"empty range, phantom", bounds("x", "y", false), 0, "", "xx", true},
		{"stopped: at the last key", storage.Range{}, 2, "", "c", true},
		{"stopped: before the last key", storage.Range{}, 2, "", "bb", true},
		{"stopped: just after the last key", storage.Range{}, 2, "", "c\x00", false},
		{"stopped: beyond", storage.Range{}, 2, "", "d", false},
		{"reverse, below", bounds("c", "", true), 0, "", "b", false},
		{"reverse, lower bound", bounds("c", "", true), 0, "", "c", true},
		{"reverse, phantom at the end", storage.Range{Reverse: true}, 0, "", "zz", true},
		{"reverse, stopped: at the last key", storage.Range{Reverse: true}, 2, "", "c", true},
		{"reverse, stopped: after the last key", storage.Range{Reverse: true}, 2, "", "cc", true},
		{"reverse, stopped: beyond", storage.Range{Reverse: true}, 2, "", "bz", false},
		{"stopped at an own write", storage.Range{}, 2, "bb", "c", false},
		{"stopped at an own write, before it", storage.Range{}, 2, "bb", "ba", true},
		{"reverse, stopped at an own write", storage.Range{Reverse: true}, 2, "cc", "c", false},
		{
			"reverse, stopped at an own write, after it",
			storage.Range{Reverse: true},
			2, "cc",
			"ccc", true,
		},
	} {
		t.sub(tt.name, func(t *suite) {
			reset(t, db)
			set(t, db, "b", "1", "c", "1", "d", "1")
			c := begin(t, db)
			if tt.own != "" {
				c.put(tt.own, "own")
			}
			c.list(tt.r, tt.limit)
			set(t, db, tt.changed, "2")
			c.put("result", "x")
			err := c.txn.Commit(c.ctx)
			if tt.conflict {
				wantConflict(t, db, err, tt.changed)
			} else if err != nil {
				t.Errorf("got %v, want no conflict", err)
			}
		})
	}
}

// A commit inside a loop over a range validates the part that the loop has gone through so far.
func testCommitInsideLoop(t *suite) {
	db := t.open()
	for _, conflict := range []bool{true, false} {
		reset(t, db)
		set(t, db, "b", "1", "c", "1", "d", "1")
		c := begin(t, db)
		c.put("result", "x")
		n := 0
		for _, err := range c.bucket.Range(storage.Range{}) {
			n++
			if ended := errors.Is(err, transaction.ErrEnded); ended != (n == 3) {
				t.Errorf("round %d: got %v", n, err)
			}
			if n == 2 {
				changed := "d"
				if conflict {
					changed = "bb"
				}
				set(t, db, changed, "2")
				if err := c.txn.Commit(c.ctx); conflict {
					wantConflict(t, db, err, changed)
				} else if err != nil {
					t.Errorf("got %v, want no conflict", err)
				}
			}
		}
		if n != 3 { // the error of the third round is ErrEnded
			t.Errorf("got %d rounds, want 3", n)
		}
	}
}

// Two doctors are on call, and each goes home if the other one stays.
func testWriteSkew(t *suite) {
	db := t.open()
	for _, read := range []struct {
		name string
		f    func(c *client, other string)
	}{
		{"get", func(c *client, other string) { c.want(other, "on") }},
		{"range", func(c *client, _ string) {
			if got := c.list(storage.Range{}, 0); got != "a=on b=on" {
				c.t.Errorf("got %q", got)
			}
		}},
	} {
		reset(t, db)
		set(t, db, "a", "on", "b", "on")
		one, two := begin(t, db), begin(t, db)
		read.f(one, "b")
		read.f(two, "a")
		one.put("a", "off")
		two.put("b", "off")
		one.commit()
		wantConflict(t, db, two.txn.Commit(two.ctx), "a")
		if got := all(t, db); got != "a=off b=on" {
			t.Errorf("%s: got %q", read.name, got)
		}
	}
}

// Otherwise one of two equal increments would be lost.
func testEqualValueConflicts(t *suite) {
	db := t.open()
	set(t, db, "n", "1")
	one, two := begin(t, db), begin(t, db)
	one.want("n", "1")
	two.want("n", "1")
	one.put("n", "2")
	two.put("n", "2")
	one.commit()
	wantConflict(t, db, two.txn.Commit(two.ctx), "n")

	three := begin(t, db)
	three.want("n", "2")
	set(t, db, "n", "2")
	three.put("m", "x")
	wantConflict(t, db, three.txn.Commit(three.ctx), "n")
}

func testReadOnlyNeverConflicts(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "1")
	c := begin(t, db)
	c.get("a")
	c.list(storage.Range{}, 0)
	if err := c.bucket.AddReadConflict([]byte("b")); err != nil {
		t.Fatal(err)
	}
	set(t, db, "a", "2", "b", "2", "c", "2")
	c.want("a", "1")
	c.commit()
}

func testSavepoints(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "1")
	c := begin(t, db)
	savepoint := func() *transaction.Savepoint {
		t.Helper()
		sp, err := c.txn.Savepoint()
		if err != nil {
			t.Fatal(err)
		}
		return sp
	}
	rollback := func(sp *transaction.Savepoint, want string) {
		t.Helper()
		if err := sp.Rollback(); err != nil {
			t.Fatal(err)
		}
		if got := c.list(storage.Range{}, 0); got != want {
			t.Errorf("rolled back: got %q, want %q", got, want)
		}
	}
	first := savepoint()
	c.put("a", "2")
	c.put("c", "2")
	second := savepoint()
	c.delete("a")
	c.put("d", "3")
	tx, err := db.Tx(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Bucket("new").Put([]byte("k"), nil); err != nil {
		t.Fatal(err)
	}
	rollback(second, "a=2 b=1 c=2")
	if got, err := tx.Bucket("new").Get([]byte("k")); got != nil || err != nil {
		t.Errorf("a bucket that was first used after the savepoint: got %q, %v", got, err)
	}
	c.delete("c")
	rollback(second, "a=2 b=1 c=2") // again
	c.put("e", "4")
	c.commit()
	if got := all(t, db); got != "a=2 b=1 c=2 e=4" {
		t.Errorf("committed: got %q", got)
	}
	if err := first.Rollback(); err == nil {
		t.Error("a rollback after the end: no error")
	}

	c = begin(t, db)
	first = savepoint()
	c.get("a")
	c.put("f", "5")
	rollback(first, "a=2 b=1 c=2 e=4")
	set(t, db, "a", "6")
	c.put("g", "7")
	wantConflict(t, db, c.txn.Commit(c.ctx), "a") // the read still counts
}

// A rollback to a savepoint from before the first use of the database undoes the writes. The
// transaction continues with the same snapshot, and its reads still count.
func testSavepointBeforeFirstUse(t *suite) {
	db := t.open()
	for _, conflict := range []bool{false, true} {
		set(t, db, "a", "1", "b", "1")
		ctx, txn := transaction.Begin(t.Context())
		sp, err := txn.Savepoint()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			tx, err := db.Tx(ctx)
			if err != nil {
				t.Fatal(err)
			}
			c := &client{t: t, ctx: ctx, txn: txn, bucket: tx.Bucket("b")}
			c.want("a", "1")
			c.put("b", "2")
			c.put("x", "2")
			if err := sp.Rollback(); err != nil {
				t.Fatal(err)
			}
			// the transaction continues, and the next round's Tx is the same
			if got := c.list(storage.Range{}, 1); got != "a=1" {
				t.Errorf("after the rollback: got %q, want a=1", got)
			}
			if conflict {
				set(t, db, "a", "3")
			}
		}
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, ctx: ctx, txn: txn, bucket: tx.Bucket("b")}
		c.want("a", "1")
		c.want("b", "1")
		c.put("b", "4")
		if err := txn.Commit(ctx); conflict {
			wantConflict(t, db, err, "a")
		} else if err != nil {
			t.Error(err)
		}
		want := "a=1 b=4"
		if conflict {
			want = "a=3 b=1"
		}
		if got := all(t, db); got != want {
			t.Errorf("conflict %t: got %q, want %q", conflict, got, want)
		}
	}

	// A savepoint that is never rolled back to ends with the transaction.
	ctx, txn := transaction.Begin(t.Context())
	sp, err := txn.Savepoint()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	(&client{t: t, ctx: ctx, txn: txn, bucket: tx.Bucket("b")}).put("a", "5")
	if err := errors.Join(sp.Rollback(), txn.Commit(ctx)); err != nil {
		t.Error(err)
	}
	if _, err := tx.Bucket("b").Get([]byte("a")); !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("after the end: got %v, want ErrEnded", err)
	}
	if got := all(t, db); got != "a=3 b=1" {
		t.Errorf("rolled back, then committed: got %q", got)
	}
}
