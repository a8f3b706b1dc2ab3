package storage

import (
	"context"
	"iter"

	"github.com/pasteline/pasteline/transaction"
)

// An Engine is one open database of some kind. Everything that does not depend on the kind is written once, in this package.
// Its methods may be called by many goroutines at once.
//
// What else an engine may be: a [Preparer], if it can take part in a two-phase commit that another decides, and a [Decider], if it
// remembers those that it decided itself.
type Engine interface {
	// Begin takes a snapshot. The context is the transaction's: the view may use it for its reads until it is closed.
	Begin(ctx context.Context) (View, error)

	// Close waits until the open views are closed and the running commits are decided, then closes the database. It does not wait for
	// what is prepared: if that is in doubt, nobody will come to finish it.
	Close() error
}

// A View is one transaction's snapshot of an engine's data. It is used by one goroutine at a time.
//
// The slices that it returns belong to the caller, who may change and keep them: an engine that has the data in memory copies them.
type View interface {
	// Get returns the value of a key; nil if there is none (an empty value is not nil).
	Get(bucket string, key []byte) ([]byte, error)

	// Range goes through the keys of r in its direction, and ends after the first error. The caller may use the view inside the
	// loop, so an engine that has only one cursor (a network connection) fetches page by page.
	Range(bucket string, r Range) iter.Seq2[Item, error]

	// Commit validates what was read and applies what was written, atomically and durably, or returns a *[ConflictError] that
	// names the bucket and key that had changed (this package fills in the rest), or another error. Nothing has been applied then,
	// unless the error is a transaction.ErrInDoubt. It ends the snapshot before it waits for other commits.
	//
	// With no writes there is nothing to validate: Commit then only makes sure that what the view has shown is durable.
	// The context is never cancelled.
	Commit(ctx context.Context, c *Changes) error

	// Close ends the snapshot, if Commit has not, and lets go of what was prepared. It may be called twice.
	Close()
}

// A Preparer is an [Engine] that can promise to commit: if CanPrepare reports true, its views are [PreparingView]s.
type Preparer interface {
	Engine
	CanPrepare() bool
}

// A PreparingView can take part in a two-phase commit in which another data manager decides.
type PreparingView interface {
	View

	// Prepare does all of Commit that can fail, durably if the engine is, and records t.ID() and t.Decider() with it. Until Finish
	// or Close no other commit can come between.
	Prepare(ctx context.Context, t *transaction.Txn, c *Changes) error

	// Finish makes what was prepared visible and durable.
	Finish(ctx context.Context) error
}

// A Decider is an [Engine] that records, with the commit itself, that a transaction was decided. Whoever finds a prepared part
// of a transaction after a crash asks the engine that was to decide; no record means that it was aborted.
type Decider interface {
	Engine

	// Decided reports whether a transaction whose commit had Changes.Decision id was committed.
	Decided(ctx context.Context, id string) (bool, error)
}

// Changes is what a transaction did: what has to be unchanged for it to commit, and what it writes.
// All lists are sorted by bucket and key.
type Changes struct {
	Reads  []ReadKey
	Ranges []ReadRange
	Writes []Write

	// Decision is the transaction's id if other participants hold prepared work and this commit decides over it. An engine that
	// is a [Decider] records it in the same atomic step. It is empty otherwise.
	Decision string
}

// A ReadKey is a key that was looked for, whether or not it was there.
type ReadKey struct{ Bucket, Key string }

// A ReadRange is a range that was gone through, from From (inclusive) to To (exclusive; empty: without end).
type ReadRange struct{ Bucket, From, To string }

// Contains reports whether key lies in the range.
func (r ReadRange) Contains(key string) bool { return r.From <= key && (r.To == "" || key < r.To) }

// A Write is a key's new value; nil deletes it (an empty value is not nil). An engine may keep the slice, but not change it.
type Write struct {
	Bucket, Key string
	Value       []byte
}
