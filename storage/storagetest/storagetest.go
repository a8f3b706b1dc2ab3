// Package storagetest tests that an engine keeps the contract of package storage: every promise of its documentation, alone and
// under concurrency, and random work against a model.
//
// An engine's own test calls [Run] with a way to open empty databases:
//
//	func TestConformance(t *testing.T) {
//		storagetest.Run(t, storagetest.Engine{
//			Open: func(t testing.TB) *storage.DB { … },
//		})
//	}
//
// # Caveats
//
// Random tests print their seed; the same seed makes the same work, and with a single client the same result. Databases are
// closed by the suite after each test, when Open's own clean-ups have not run yet.
package storagetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// An Engine says how to make databases of the kind that is to be tested.
type Engine struct {
	// Open returns a new, empty database. The suite closes it. It fails t if it can't.
	Open func(t testing.TB) *storage.DB

	// Reopen closes db and opens the same database again. Nil: the engine does not keep data, and durability is not tested.
	Reopen func(t testing.TB, db *storage.DB) *storage.DB

	// ReadsConflict says that a snapshot begins with the second read, not with the first, which is then found to be out of date if
	// somebody has changed it in between: the second read is a conflict then.
	ReadsConflict bool

	// Crowd is how many clients are at work at once where a test is about a crowd; 0: 64. A smaller one takes less time.
	Crowd int

	// Rounds is how often each pair of operations is run against each other; 0: 4. Fewer take less time.
	Rounds int

	// Check looks whether the database is sound; it is called after each test, when db has been closed. It may be nil.
	Check func(t testing.TB, db *storage.DB)
}

const defaultCrowd = 64

// Run runs the whole suite.
func Run(t *testing.T, e Engine) {
	t.Helper()
	all := &suite{t, e}
	for _, test := range []struct {
		name string
		f    func(*suite)
	}{
		{"GetPutDelete", testGetPutDelete},
		{"EmptyValue", testEmptyValue},
		{"BucketsAreApart", testBucketsAreApart},
		{"BinaryKeys", testBinaryKeys},
		{"Limits", testLimits},
		{"SlicesAreCopies", testSlicesAreCopies},
		{"Range", testRange},
		{"RangeOwnWrites", testRangeOwnWrites},
		{"RangeWhileWriting", testRangeWhileWriting},
		{"RangeEnded", testRangeEnded},
		{"Items", testItems},
		{"ItemsCountAsRead", testItemsCountAsRead},
		{"LargeBucket", testLargeBucket},
		{"NoTransaction", testNoTransaction},
		{"Ended", testEnded},
		{"EndsWhileUsed", testEndsWhileUsed},
		{"AllPairs", testAllPairs},
		{"AbortLeavesNothing", testAbortLeavesNothing},
		{"Snapshot", testSnapshot},
		{"Conflicts", testConflicts},
		{"ConflictInRanges", testConflictInRanges},
		{"CommitInsideLoop", testCommitInsideLoop},
		{"WriteSkew", testWriteSkew},
		{"EqualValueConflicts", testEqualValueConflicts},
		{"ReadOnlyNeverConflicts", testReadOnlyNeverConflicts},
		{"Savepoints", testSavepoints},
		{"SavepointBeforeFirstUse", testSavepointBeforeFirstUse},
		{"TwoDatabases", testTwoDatabases},
		{"TwoDatabasesConflict", testTwoDatabasesConflict},
		{"Decision", testDecision},
		{"Durability", testDurability},
		{"Close", testClose},
		{"Increments", testIncrements},
		{"IncrementsOppositeOrder", testIncrementsOppositeOrder},
		{"CountAndAdd", testCountAndAdd},
		{"Transfers", testTransfers},
		{"RandomAgainstModel", testRandomAgainstModel},
		{"RandomConcurrent", testRandomConcurrent},
	} {
		all.sub(test.name, func(t *suite) {
			t.Parallel()
			test.f(t)
		})
	}
}

// A suite is one test of an engine.
type suite struct {
	*testing.T
	Engine
}

func (t *suite) sub(name string, f func(*suite)) {
	t.Run(name, func(sub *testing.T) { f(&suite{sub, t.Engine}) })
}

// open returns an empty database that is closed and checked at the end of the test.
func (t *suite) open() *storage.DB {
	t.Helper()
	db := t.Open(t)
	t.closeLater(db)
	return db
}

func (t *suite) closeLater(db *storage.DB) {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Check != nil {
			t.Check(t, db)
		}
	})
}

// A client is one transaction under way, whose steps a test writes one after the other; any error that is not asked for fails
// the test.
type client struct {
	t      testing.TB
	ctx    context.Context
	txn    *transaction.Txn
	bucket storage.Bucket

	mayLose bool  // a read may be a conflict
	lost    error // that conflict
}

// failed notes an error of a read, and reports whether it was expected to be possible.
func (c *client) failed(err error) bool {
	if _, ok := errors.AsType[*storage.ConflictError](err); !ok || !c.mayLose || !transaction.IsTransient(err) {
		return false
	}
	c.lost = err
	return true
}

// begin starts a transaction on one bucket.
func begin(tb testing.TB, db *storage.DB) *client {
	tb.Helper()
	ctx, txn := transaction.Begin(tb.Context())
	tb.Cleanup(func() { _ = txn.Abort(context.Background()) }) // of those that a failed test left open
	tx, err := db.Tx(ctx)
	if err != nil {
		tb.Fatalf("Tx: %v", err)
	}
	return &client{t: tb, ctx: ctx, txn: txn, bucket: tx.Bucket("b")}
}

func (c *client) get(key string) string {
	c.t.Helper()
	value, err := c.bucket.Get([]byte(key))
	if err != nil && c.failed(err) {
		return ""
	}
	if err != nil {
		c.t.Fatalf("get %q: %v", key, err)
	}
	if value == nil {
		return "-"
	}
	return string(value)
}

func (c *client) want(key, want string) {
	c.t.Helper()
	if got := c.get(key); got != want {
		c.t.Errorf("get %q: got %q, want %q", key, got, want)
	}
}

func (c *client) put(key, value string) {
	c.t.Helper()
	if err := c.bucket.Put([]byte(key), []byte(value)); err != nil {
		c.t.Fatalf("put %q: %v", key, err)
	}
}

func (c *client) delete(key string) {
	c.t.Helper()
	if err := c.bucket.Delete([]byte(key)); err != nil {
		c.t.Fatalf("delete %q: %v", key, err)
	}
}

// list goes through a range, at most limit keys of it (0: all), and returns "a=1 b=2".
func (c *client) list(r storage.Range, limit int) string {
	c.t.Helper()
	return c.listWhile(r, limit, func(string) {})
}

// listWhile is list with something to do in the loop, with each key.
func (c *client) listWhile(r storage.Range, limit int, do func(key string)) string {
	c.t.Helper()
	text, n := "", 0
	for item, err := range c.bucket.Range(r) {
		if err != nil && c.failed(err) {
			return ""
		}
		if err != nil {
			c.t.Fatalf("range: %v", err)
		}
		if text != "" {
			text += " "
		}
		text += string(item.Key) + "=" + string(item.Value)
		do(string(item.Key))
		clear(item.Key) // it is ours
		if n++; n == limit {
			break
		}
	}
	return text
}

func (c *client) commit() {
	c.t.Helper()
	if err := c.txn.Commit(c.ctx); err != nil {
		c.t.Fatalf("commit: %v", err)
	}
}

func (c *client) abort() {
	c.t.Helper()
	if err := c.txn.Abort(c.ctx); err != nil {
		c.t.Fatalf("abort: %v", err)
	}
}

// set commits keys and values.
func set(tb testing.TB, db *storage.DB, pairs ...string) {
	tb.Helper()
	c := begin(tb, db)
	for pair := range slices.Chunk(pairs, 2) {
		c.put(pair[0], pair[1])
	}
	c.commit()
}

// all returns the items of the bucket.
func all(tb testing.TB, db *storage.DB) string {
	tb.Helper()
	c := begin(tb, db)
	defer c.abort()
	return c.list(storage.Range{}, 0)
}
