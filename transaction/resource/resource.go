package resource

import "context"

// A DataManager takes part in a transaction: it buffers changes until Commit makes them durable or
// Abort drops them. It joins with the method Join of the transaction, and has to be comparable, as
// pointers are.
//
// Every manager that joined is notified of the end exactly once: by Commit (and nothing after it if
// Commit returned nil), Finish or Abort; or, for a [Leaver], by Leave in place of these. Its
// methods are never called concurrently. Those that end the transaction are called by the goroutine
// that ends it, with a context that carries the transaction and isn't cancelled with the caller's.
// A panic counts as an error; in the Commit that decides it leaves the transaction in doubt.
//
// A DataManager may also be a [Preparer], [Leaver], [Recorder], [ReadOnlyReporter], [Savepointer],
// [TransientReporter] or [ConflictReporter].
type DataManager interface {
	// SortKey orders the managers of a transaction, so that two transactions take their locks in
	// the same order. It should name the resource, and not change.
	SortKey() string

	// Commit makes the changes durable in one phase. An error means that nothing was committed,
	// unless it wraps transaction.ErrInDoubt; either way Abort follows, to release resources. If
	// t.Prepared() returns true, other managers hold prepared work, and this Commit is the
	// decision: it has to make t.ID() durable together with its changes, for recovery after a
	// crash.
	Commit(ctx context.Context, t Txn) error

	// Abort drops the changes and releases all resources, prepared work included. It can't refuse;
	// an error is only reported.
	//
	// The transaction is over then, unless t.Usable() returns true: it was rolled back to a
	// savepoint made before the manager joined, and continues without it. A manager that has to
	// remember more than its changes, such as the data that it has read, joins again at once: Abort
	// may call t.Join.
	Abort(ctx context.Context, t Txn) error
}

// Txn is the transaction as its data managers see it: a *transaction.Txn.
type Txn interface {
	// ID returns the transaction's globally unique name: at least 128 random bits, as letters and
	// digits.
	ID() string

	// Prepared reports, during the Commit that decides, whether other data managers hold prepared
	// work. If so, that Commit has to make ID durable together with its changes.
	Prepared() bool

	// Recorder returns, from the first Prepare on, the RecorderID of the data manager whose Commit
	// is the decision; it is empty if that manager keeps no record. Preparers store it with their
	// prepared work, so that recovery knows which database to ask, even if the program's
	// configuration has changed by then.
	Recorder() string

	// Usable reports whether the transaction can still be used: it is active or doomed. During
	// Abort that means a rollback to a savepoint.
	Usable() bool

	// Join adds dm to the transaction. The error is transaction.ErrEnded or
	// transaction.ErrCommitFailed.
	Join(dm DataManager) error
}

// A Preparer is a DataManager that can durably promise to commit. Of several managers that write,
// all but the last have to be Preparers.
type Preparer interface {
	DataManager

	// Prepare makes the changes durable under a name that includes t.ID(), so that they can no
	// longer make Finish fail, not even after a crash. It stores t.Recorder() with them, for
	// recovery. An error means that there is no promise; Abort follows.
	Prepare(ctx context.Context, t Txn) error

	// Finish commits the prepared changes: the transaction is committed. An error leaves them
	// prepared, in doubt, for recovery to settle; the transaction stays committed.
	Finish(ctx context.Context, t Txn) error
}

// A Leaver is a Preparer that must release resources, such as a connection or a lock that shows
// recovery that its process is alive, when the outcome is unknown.
type Leaver interface {
	Preparer

	// Leave is called in place of Finish or Abort if it isn't known whether t was committed. The
	// work stays prepared, and from now on recovery settles it, even while this process lives; all
	// other resources are released.
	Leave(ctx context.Context, t Txn)
}

// A Recorder is a DataManager that can record, with its own Commit, that a transaction with
// prepared work in other managers was committed. Recovery asks the Recorder of prepared work that
// it finds after a crash; without a record the transaction was aborted. If the manager that decides
// is no Recorder there is no record, so the work prepared by others is rolled back after a crash.
type Recorder interface {
	DataManager

	// RecorderID identifies the place where decisions are recorded: up to 64 letters, digits and
	// hyphens. It is the same in every process, doesn't depend on how the place is called or
	// reached, and differs from that of any other place. If it is empty, nothing is recorded.
	RecorderID() string

	// Forget is called when t was committed here and all prepared managers have finished: the
	// record is no longer needed.
	Forget(ctx context.Context, t Txn)
}

// A ReadOnlyReporter can report that it has nothing to write. It is committed before the others
// then, and need not be able to prepare.
type ReadOnlyReporter interface{ ReadOnly() bool }

// A Savepointer is a DataManager whose state can be rolled back to an earlier moment of the
// transaction. The end of the transaction waits for Savepoint and for the Rollback of its result,
// so neither may call the transaction's Hold, Savepoint, Rollback, Commit or Abort.
type Savepointer interface {
	Savepoint() (Savepoint, error)
}

// A Savepoint is a savepoint of one data manager. Rollback may be called more than once.
type Savepoint interface{ Rollback() error }

// A TransientReporter is a DataManager that knows which errors are worth another attempt. It is
// also asked about errors that it did not return: the app's, or those of a driver that it wraps.
type TransientReporter interface{ IsTransient(err error) bool }

// A ConflictReporter is a DataManager that can report a conflict before, or without, a commit. It
// is asked when the work has failed in another way or is to be discarded: the failure may be a
// consequence of the conflict.
type ConflictReporter interface {
	DataManager

	// Conflict returns a transient error that the manager has returned to its user in the course of
	// the transaction, or the one that Commit would return now because data that was read has
	// changed since. It returns nil if there is no conflict, or finding it would need a Commit. The
	// transaction is aborted afterwards, but may be used until then. Conflict may be called by
	// another goroutine than the one that uses the manager.
	Conflict(ctx context.Context) error
}

// A Waiter is a transient error, of a resource, that can block until a retry is likely to succeed,
// for example until the contended key is free. Wait returns the parent for the context of the next
// attempt, and release, to be called when that attempt has ended. Wait returns when ctx is done at
// the latest; if it returns an error, there is no further attempt.
type Waiter interface {
	error
	Wait(ctx context.Context) (next context.Context, release func(), err error)
}
