package storage

import (
	"context"
	"iter"
	"log/slog"
	"net/url"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// An Engine is one open database of some kind. Everything that does not depend on the kind is written once, in this package.
// Its methods may be called by many goroutines at once.
//
// What else an engine may be: a [Preparer], if it can take part in a two-phase commit that another decides; a [Decider], if it
// remembers those that it decided itself; a [recovery.Participant], if what it prepares outlives the process; a [Turner] and a
// [Locker], if other processes use the same database; an [EarlyBeginner]; a [Located]; a [Discarder]; a
// [transaction.TransientJudge]. A view may be a [Watcher], a [Lister], a [SideView], a [Validator] and a [Clock].
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

// An EarlyBeginner is an [Engine] in which some time passes between the moment in which a commit is accepted (it has been validated,
// and its place among the others is certain) and that in which it is decided. The next who has the turn on a key need not wait so long.
type EarlyBeginner interface {
	Engine

	// BeginEarly is Begin, but the snapshot shows all that is accepted. What it shows may fail still, and takes with it whoever has
	// read it: Commit, with writes or without, then returns a transient error. It returns nil only when all that the view has
	// shown is durable. What is given up is committed without writes before anybody may hear what was read, be the view early or not.
	BeginEarly(ctx context.Context) (View, error)
}

// A TwoPhaser is an [Engine] that may be a [Preparer], but can't prepare for a reason that somebody could change.
type TwoPhaser interface {
	Engine

	// WhyNotPrepare returns that reason, with what to do about it; nil if CanPrepare reports true, or nobody asked for it.
	WhyNotPrepare() error
}

// A PreparingView can take part in a two-phase commit in which another data manager decides.
type PreparingView interface {
	View

	// Prepare does all of Commit that can fail, durably if the engine is, and records t.ID() and t.Decider() with it. Until Finish
	// or Close no other commit can come between.
	Prepare(ctx context.Context, t *transaction.Txn, c *Changes) error

	// Finish makes what was prepared visible and durable. After an error it stays prepared, for recovery.
	Finish(ctx context.Context) error

	// Leave is Close, but what was prepared stays so, for recovery: it is not known whether the transaction was committed.
	Leave()
}

// A Located is an [Engine] whose database lies at a place that may come to hold another one while it is open, as the path of a file
// does when the file is replaced.
type Located interface {
	Engine

	// Locate says that the database was opened as uri, in which no link was followed. The error, which wraps [ErrMoved], says that uri
	// does not lead to the database that is open. Until leave is called the engine refuses commits whenever that comes to be so,
	// though perhaps not those of the next second. The logger, which may be nil, is told when that begins and when it ends.
	Locate(uri *url.URL, logger *slog.Logger) (leave func(), err error)
}

// A Discarder is an [Engine] that may have made its database when it was opened.
type Discarder interface {
	Engine

	// Discard is Close, but a database that was made when it was opened, and to which nothing has been written since, is deleted.
	Discard() error
}

// A Decider is an [Engine] that records, with the commit itself, that a transaction was decided: Changes.Decision is its id. Whoever
// finds a prepared part of a transaction after a crash asks the engine that was to decide.
type Decider interface {
	Engine
	recovery.Decider

	// Forget says that nobody will ask for the record of a committed transaction any more. It may be deleted when it suits,
	// with the next commit, say.
	Forget(id string)
}

// A Watcher is a [View] that does not know from its beginning which version of each key its snapshot shows. Watch is called for keys
// that are not read, but have to be unchanged for the commit: since now, at the latest.
type Watcher interface {
	View
	Watch(bucket string, key []byte) error
}

// A SideView is a [View] that can be written to beside this package, as by the app's own SQL in the same transaction. What is
// written there is committed, prepared and dropped with the rest.
type SideView interface {
	View

	// Written reports whether that has happened.
	Written() bool

	// Savepoint marks the present moment; rollback, which may be called more than once, drops what is written afterwards.
	Savepoint() (rollback func() error, err error)

	// Undo drops all that was written beside. The snapshot, and what was read, stay.
	Undo() error

	// Abandon drops all that was written beside, because the transaction is aborted; Close follows. It returns an error that
	// wraps transaction.ErrInDoubt if some of it may be kept: then the work must not be run again.
	Abandon(ctx context.Context) error
}

// A Validator is a [View] that can tell, without a commit, that one would be a conflict.
type Validator interface {
	View

	// Validate returns the error with which Commit of c would fail if it came now, if that is transient and known to the process.
	// Nothing is changed by it, and the view may be used as before. Commit must not have been called.
	Validate(c *Changes) error
}

// A Lister is a [View] that can get a whole range at once, for less than the loop over Range costs.
type Lister interface {
	View
	List(bucket string, r Range) ([]Item, error)
}

// A Clock is a [View] of a database that has a clock of its own, which all machines that use the database have in common.
type Clock interface {
	View

	// Now returns the time by that clock. It counts as no read.
	Now() (time.Time, error)
}

// A Turner is an [Engine] whose databases other processes use too. While one of them has the turn on a key, a commit of any other
// that writes to it is a conflict.
type Turner interface {
	Engine

	// Turn waits for the turn on all of keys, and release passes it on, at once. The commit of who has it says so (Changes.Turns).
	// The error is that of ctx, or says why there can be no turn.
	Turn(ctx context.Context, keys []ReadKey) (release func(), err error)
}

// A Locker is an [Engine] whose databases other processes use too, and that has locks across them, for work that one of them has
// to do at a time.
type Locker interface {
	Engine

	// TryLock returns at once, and reports whether nobody else had the lock of that name. It is let go of by unlock, and
	// with the end of the process.
	TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error)
}

// Changes is what a transaction did: what has to be unchanged for it to commit, and what it writes. An engine does not change it.
// All lists are sorted by bucket and key.
type Changes struct {
	Reads  []ReadKey
	Ranges []ReadRange
	Writes []Write

	// Turns are the keys on which a Turner has given this transaction the turn.
	Turns []ReadKey

	// Accepted, if not nil, is called by Commit of an [EarlyBeginner] when the commit is accepted: once, at most, and on the goroutine
	// that called Commit.
	Accepted func()

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
