// Package storagetest is the conformance test of an engine of package storage: it tests every
// guarantee of the contract, for single transactions and under concurrency, and compares random
// work with a model.
//
// An engine's own test calls [Run] with a function that opens empty databases:
//
//	func TestConformance(t *testing.T) {
//		storagetest.Run(t, storagetest.Engine{
//			Open: func(t testing.TB) *storage.DB { … },
//		})
//	}
//
// # Caveats
//
// Random tests log their seed, which the environment variable STORAGETEST_SEED sets. The same seed
// makes the same work, and with a single client the same result. The suite closes each database
// before the clean-ups of Open run.
package storagetest

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// An Engine describes the engine to test.
type Engine struct {
	// Open returns a new, empty database, which the suite closes. It fails t after an error. It is
	// called by several goroutines.
	Open func(t testing.TB) *storage.DB

	// Reopen closes db and opens the same database again. Nil: the engine does not keep data, and
	// durability is not tested.
	Reopen func(t testing.TB, db *storage.DB) *storage.DB

	// ReadsConflict says that a snapshot begins with the second read. If the result of the first
	// read has changed by then, the second read is a conflict.
	ReadsConflict bool

	// Clients is the number of concurrent clients in tests of contention; 0: 64. Each runs
	// Transactions transactions; 0: 50. Smaller numbers take less time. If the environment variable
	// STORAGETEST_LONG is set, these numbers and Rounds are ignored.
	Clients, Transactions int

	// Rounds is the number of times that each pair of operations is run together; 0: 4. A smaller
	// number takes less time.
	Rounds int

	// Check fails t if the closed database db is damaged. It is called after each test. It may be
	// nil.
	Check func(t testing.TB, db *storage.DB)
}

// The defaults of [Engine].
const (
	defaultClients      = 64
	defaultTransactions = 50
)

// Run runs the whole suite.
func Run(t *testing.T, e Engine) {
	t.Helper()
	if os.Getenv("STORAGETEST_LONG") != "" {
		e.Clients, e.Transactions, e.Rounds = 0, 0, 0
	}
	e.Clients = cmp.Or(e.Clients, defaultClients)
	e.Transactions = cmp.Or(e.Transactions, defaultTransactions)
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

// A client runs one transaction, step by step. Unexpected errors fail the test.
type client struct {
	t      testing.TB
	ctx    context.Context
	txn    *transaction.Txn
	bucket storage.Bucket

	mayLose bool  // a read may be a conflict
	lost    error // that conflict
}

// failed reports whether err, the error of a read, is an allowed conflict, and records it.
func (c *client) failed(err error) bool {
	_, conflict := errors.AsType[*storage.ConflictError](err)
	if !conflict || !c.mayLose || !transaction.IsTransient(err) {
		return false
	}
	c.lost = err
	return true
}

// begin begins a transaction that uses the bucket b.
func begin(tb testing.TB, db *storage.DB) *client {
	tb.Helper()
	ctx, txn := transaction.Begin(tb.Context())
	tb.Cleanup(func() { _ = txn.Abort(context.Background()) }) // if a failed test left it open
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

// list returns the items of a range, at most limit (0: all), as "a=1 b=2".
func (c *client) list(r storage.Range, limit int) string {
	c.t.Helper()
	return c.listWhile(r, limit, func(string) {})
}

// listWhile is list, except that it calls do in the loop, with each key.
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
		clear(item.Key) // the caller owns it
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

// set commits pairs of a key and its value.
func set(tb testing.TB, db *storage.DB, pairs ...string) {
	tb.Helper()
	c := begin(tb, db)
	for pair := range slices.Chunk(pairs, 2) {
		c.put(pair[0], pair[1])
	}
	c.commit()
}

// reset deletes all keys of the bucket, for the next case of a table.
func reset(tb testing.TB, db *storage.DB) {
	tb.Helper()
	c := begin(tb, db)
	items, err := c.bucket.Items(storage.Range{})
	if err != nil {
		tb.Fatalf("items: %v", err)
	}
	for _, item := range items {
		c.delete(string(item.Key))
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
