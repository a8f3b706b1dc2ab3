package engine

import (
	"context"
	"iter"
	"log/slog"
	"net/url"
	"time"

	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

// An OpenFunc opens an engine by URI. Its errors name the fault and the remedy; the opener adds the
// URI.
type OpenFunc func(ctx context.Context, uri *url.URL) (Engine, error)

// A CanonicalFunc checks a URI and returns the one form that all URIs of the same database share,
// apart from the query: with symbolic links followed, for example, even if the file does not exist
// yet. Equal options in the query become equal text. It opens nothing, and must not change its
// argument.
type CanonicalFunc func(uri *url.URL) (*url.URL, error)

// An Engine is one open database of some kind. Its methods may be called concurrently.
//
// An engine may also be
//   - a [Preparer], if it can take part in a two-phase commit that another data manager decides;
//   - a [PrepareChecker], if it could be a Preparer but its configuration does not allow it;
//   - a [Recorder], if it records the two-phase commits that it decided itself;
//   - a [recovery.Participant], if its prepared work outlives the process;
//   - a [KeyLocker] and a [Locker], if other processes use the same database;
//   - [Speculative], if a commit can be read before it is durable;
//   - [Located], if its database can be moved or replaced while it is open;
//   - a [Reporter] and a [Gauger], if it warns of what its database runs out of, and measures it;
//   - a [Discarder], if opening it may create a database;
//   - a [resource.TransientReporter], if it can tell which errors of its own a retry may overcome.
//
// A view may also be a [Watcher], an [Awaiter], a [Lister], a [SideView], a [Validator] and a
// [Clock].
type Engine interface {
	// Begin takes a snapshot. The context is the transaction's: the view may use it for its reads
	// until it is closed.
	Begin(ctx context.Context) (View, error)

	// Close waits for open views and running commits, then closes the database. It does not wait
	// for prepared transactions: one that is in doubt may never be finished in this process.
	Close() error
}

// A View is one transaction's snapshot of an engine's data. It is used by one goroutine at a time.
//
// The slices that it returns belong to the caller, which may change and keep them: an engine that
// has the data in memory returns copies.
type View interface {
	// Get returns the value of a key; nil if it does not exist (an empty value is not nil).
	Get(bucket string, key []byte) ([]byte, error)

	// Range goes through the keys of r in its direction, and ends after the first error. The loop
	// body may use the view, so an engine with a single cursor (a network connection) must fetch
	// page by page.
	Range(bucket string, r Range) iter.Seq2[Item, error]

	// Commit validates the reads and applies the writes, atomically and durably. It returns a
	// *storage.ConflictError that names the bucket and key that had changed (package storage fills
	// in the rest), or another error. After an error nothing has been applied, unless the error is
	// a transaction.ErrInDoubt. Commit ends the snapshot before it waits for other commits.
	//
	// Without writes there is nothing to validate: Commit then only waits until everything the
	// view has read is durable. The context is never cancelled.
	Commit(ctx context.Context, c *Changes) error

	// Close ends the snapshot, unless Commit has, and releases prepared work. It may be called
	// twice.
	Close()
}

// A Preparer is an [Engine] that can promise to commit: if CanPrepare reports true, its views are
// [PreparingView]s.
type Preparer interface {
	Engine
	CanPrepare() bool
}

// A PrepareChecker is an [Engine] that supports two-phase commit but may have it disabled by
// configuration.
type PrepareChecker interface {
	Engine

	// WhyNotPrepare returns the reason and the remedy; nil if CanPrepare reports true, or if
	// two-phase commit was not asked for.
	WhyNotPrepare() error
}

// A PreparingView can take part in a two-phase commit in which another data manager decides.
type PreparingView interface {
	View

	// Prepare does everything of Commit that can fail, durably if the engine is durable, and
	// records t.ID() and t.Recorder() with it. Until Finish or Close no conflicting commit can
	// succeed.
	Prepare(ctx context.Context, t resource.Txn, c *Changes) error

	// Finish makes the prepared writes visible and durable. After an error they stay prepared, for
	// recovery.
	Finish(ctx context.Context) error

	// Leave is Close, except that prepared work stays, for recovery: the outcome is unknown.
	Leave()
}

// Speculative is an [Engine] in which a commit is accepted (it is validated, and its place among
// the others is certain) some time before it is durable. The next transaction in the queue for a
// key does not wait for that.
type Speculative interface {
	Engine

	// BeginSpeculative is Begin, except that the snapshot includes commits that are accepted but
	// not yet durable. If one of them fails, every transaction that read it fails too: Commit, with
	// writes or without, then returns a transient error. Commit returns nil only once everything
	// the view read is durable. A transaction that is aborted is committed without writes before
	// its answer is sent, whether its view is speculative or not.
	//
	// The attempts before this one have read and written keys in used only, if used is not empty.
	BeginSpeculative(ctx context.Context, used []ReadRange) (View, error)
}

// Located is an [Engine] whose database lies in a place that may come to hold another one while it
// is open, as a file's path does when the file is replaced.
type Located interface {
	Engine

	// Locate records that the database was opened as uri, in which no link was followed. It
	// returns an error that wraps storage.ErrMoved if uri does not lead to the open database.
	// Until release is called, the engine refuses commits once uri leads elsewhere, though perhaps
	// not those of the next second. It logs, if logger is not nil, when that begins and ends.
	Locate(uri *url.URL, logger *slog.Logger) (release func(), err error)
}

// A Reporter is an [Engine] that watches its database while it is open. Report is called once,
// before the first Begin. The engine warns the logger, which may be nil, of conditions that will
// make requests fail unless an operator acts.
type Reporter interface {
	Engine
	Report(logger *slog.Logger)
}

// A Gauger is an [Engine] that measures its database, for metrics. Gauges returns the values by
// their names, within about a second, or none if the database does not answer. A name consists of
// lower-case letters, digits and underscores and ends with the unit, such as _bytes or _seconds; a
// value that only grows has a name that ends with _total. It may be called after Close.
type Gauger interface {
	Engine
	Gauges() map[string]float64
}

// A Compacter is an [Engine] whose database does not become smaller when data is deleted.
type Compacter interface {
	Engine

	// Compact rewrites the database without free room and returns its size before and after, in
	// bytes. Commits wait meanwhile. Progress is called now and then with a number of bytes and
	// their total. After success the engine can only be closed. If Compact fails, or the process
	// ends meanwhile, the database is as before. The error is that of ctx, or of the database.
	Compact(ctx context.Context, progress func(done, total int64)) (before, after int64, err error)
}

// A Discarder is an [Engine] that may have created its database when it was opened.
type Discarder interface {
	Engine

	// Discard is Close, except that a database that opening created, and that was not written to
	// since, is deleted.
	Discard() error
}

// A Recorder is an [Engine] that records, with the commit itself, that a two-phase commit was
// decided; Changes.Decision is the transaction's id. Recovery asks it about each prepared
// transaction that it was to decide.
type Recorder interface {
	Engine
	recovery.Recorder

	// Forget says that the record of a committed transaction is not needed any more. The engine may
	// delete it later, with the next commit for example.
	Forget(id string)
}

// A Watcher is a [View] whose snapshot is taken lazily. Watch pins the current version of a key
// that is never read but must not change before the commit.
type Watcher interface {
	View
	Watch(bucket string, key []byte) error
}

// A SideView is a [View] that the application can also write to directly, for example with its own
// SQL. Such writes commit, prepare and roll back with the view.
type SideView interface {
	View

	// Written reports whether the application has written directly.
	Written() bool

	// Savepoint marks the present state; rollback, which may be called more than once, drops direct
	// writes made since.
	Savepoint() (rollback func() error, err error)

	// Undo drops all direct writes. The snapshot and the reads stay.
	Undo() error

	// Abandon drops all direct writes because the transaction is aborted; Close follows. It returns
	// an error that wraps transaction.ErrPartlyKept if some of them may have been kept: the work
	// must not be run again then.
	Abandon(ctx context.Context) error
}

// A Validator is a [View] that can tell in advance whether a commit would be a conflict.
type Validator interface {
	View

	// Validate returns the error with which Commit of c would fail now, if it is transient and the
	// process knows of it. It changes nothing, and the view stays usable. It must not be called
	// after Commit.
	Validate(c *Changes) error
}

// An Awaiter is a [View] that is not committed without writes when its transaction is aborted: Await
// is called instead. It returns a transient error if the transaction has read what was not
// committed, so that an answer that is based on it must not be sent. It may be called after Commit.
type Awaiter interface {
	View
	Await(ctx context.Context) error
}

// A Lister is a [View] that can get a whole range at once, for less than Range costs.
type Lister interface {
	View
	List(bucket string, r Range) ([]Item, error)
}

// A Clock is a [View] of a database that has a clock of its own, shared by all machines that use
// the database.
type Clock interface {
	View

	// Now returns the time by that clock. It does not count as a read.
	Now() (time.Time, error)
}

// A KeyLocker is an [Engine] shared between processes. While one process holds the lock on a key,
// commits by others that write the key conflict.
type KeyLocker interface {
	Engine

	// LockKeys waits for the locks of all keys. Release unlocks all of them. A commit of the
	// holder names the keys in Changes.Locked. The error is that of ctx, or says why the keys can't
	// be locked.
	LockKeys(ctx context.Context, keys []ReadKey) (release func(), err error)
}

// A Locker is an [Engine] shared between processes that has named locks across them, for work that
// one process does at a time.
type Locker interface {
	Engine

	// TryLock returns at once and reports whether the lock of that name was free. It is held until
	// unlock is called or the process ends.
	TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error)
}
