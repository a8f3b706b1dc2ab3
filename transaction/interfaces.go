package transaction

import "context"

// A DataManager takes part in a transaction: it buffers changes until Commit makes them durable or
// Abort drops them. It joins with [Txn.Join], and has to be comparable, as pointers are.
//
// Every manager that joined is notified of the end exactly once: by Commit (and nothing after it if
// Commit returned nil), Finish or Abort; or, for a [Leaver], by Leave in place of these. Its
// methods are never called concurrently. Those that end the transaction are called by the goroutine
// that ends it, with a context that carries the transaction and isn't cancelled with the caller's.
// Other goroutines may still use the resource at that time: their calls before the end count, and
// later ones are refused with [ErrEnded]. A panic counts as an error; in the Commit that decides it
// leaves the transaction in doubt.
//
// A DataManager may also be a [Preparer], [Leaver], [Decider], [ReadOnlyReporter], [Savepointer],
// [TransientJudge] or [ConflictReporter].
type DataManager interface {
	// SortKey orders the managers of a transaction, so that two transactions take their locks in
	// the same order. It should name the resource, and not change.
	SortKey() string

	// Commit makes the changes durable in one phase. An error means that nothing was committed,
	// unless it wraps [ErrInDoubt]; either way Abort follows, to release resources. If t.Prepared()
	// returns true, other managers hold prepared work, and this Commit is the decision: it has to
	// make t.ID() durable together with its changes, for recovery after a crash.
	Commit(ctx context.Context, t *Txn) error

	// Abort drops the changes and releases all resources, prepared work included. It can't refuse;
	// an error is only reported.
	//
	// The transaction is over then, with one exception: if t is still Active or Doomed, it was
	// rolled back to a savepoint made before the manager joined, and continues without it. A
	// manager that has to remember more than its changes, such as the data that it has read, joins
	// again at once: Abort may call t.Join.
	Abort(ctx context.Context, t *Txn) error
}

// A Preparer is a DataManager that can durably promise to commit. Of several managers that write,
// all but the last have to be Preparers.
type Preparer interface {
	DataManager

	// Prepare makes the changes durable under a name that includes t.ID(), so that they can no
	// longer make Finish fail, not even after a crash. It stores t.Decider() with them, for
	// recovery. An error means that there is no promise; Abort follows.
	Prepare(ctx context.Context, t *Txn) error

	// Finish commits the prepared changes: the transaction is committed. An error leaves them
	// prepared, in doubt, for recovery to settle; the transaction stays committed.
	Finish(ctx context.Context, t *Txn) error
}

// A Leaver is a Preparer that must release resources, such as a connection or a lock that shows
// recovery that its process is alive, when the outcome is unknown.
type Leaver interface {
	Preparer

	// Leave is called in place of Finish or Abort if it isn't known whether t was committed. The
	// work stays prepared, and from now on recovery settles it, even while this process lives; all
	// other resources are released.
	Leave(ctx context.Context, t *Txn)
}

// A Decider is a DataManager that can record, with its own Commit, that a transaction with prepared
// work in other managers was committed. Recovery asks the Decider of prepared work that it finds
// after a crash; without a record the transaction was aborted. If the deciding manager is no
// Decider there is no record, so the work prepared by others is rolled back after a crash.
type Decider interface {
	DataManager

	// DeciderID identifies the place where decisions are recorded: up to 64 letters, digits and
	// hyphens. It is the same in every process, doesn't depend on how the place is called or
	// reached, and differs from that of any other place. If it is empty, nothing is recorded.
	DeciderID() string

	// Forget is called when t was committed here and all prepared managers have finished: the
	// record is no longer needed.
	Forget(ctx context.Context, t *Txn)
}

// A ReadOnlyReporter can report that it has nothing to write. It is committed before the others
// then, and need not be able to prepare.
type ReadOnlyReporter interface{ ReadOnly() bool }

// A Savepointer is a DataManager whose state can be rolled back to an earlier moment of the
// transaction. The end of the transaction waits for Savepoint and for the Rollback of its result,
// so neither may call [Txn.Hold], Savepoint, Rollback, Commit or Abort.
type Savepointer interface {
	Savepoint() (DataSavepoint, error)
}

// A DataSavepoint is a savepoint of one data manager. Rollback may be called more than once.
type DataSavepoint interface{ Rollback() error }

// A TransientJudge is a DataManager that knows which errors are worth another attempt. It is also
// asked about errors that it did not return: the app's, or those of a driver that it wraps.
type TransientJudge interface{ IsTransient(err error) bool }

// A Synchronizer is notified of the beginning and the end of every transaction of the [Manager]
// with which it is registered. It has to be comparable, and safe for concurrent use, because
// transactions run in several goroutines.
type Synchronizer interface {
	// NewTransaction is called when t begins. An error refuses it.
	NewTransaction(t *Txn) error

	// BeforeCompletion is called before t commits or aborts; data managers may still join. An error
	// stops a commit, with the transaction still active; an abort goes on and returns it.
	BeforeCompletion(t *Txn) error

	// AfterCompletion is called when t has committed, has failed to commit, or has been aborted.
	// After a failed commit it is called again when the transaction is aborted.
	AfterCompletion(t *Txn)
}

// Status is the state of a transaction.
type Status int

// The states of a transaction.
const (
	Active       Status = iota // in use
	Doomed                     // in use, but can only be aborted
	Committing                 // data managers are being committed
	Committed                  // over and durable
	CommitFailed               // a commit or savepoint failed; can only be aborted
	Aborted                    // over, nothing was kept
)

// String returns the state in lower case, such as "commit failed".
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Doomed:
		return "doomed"
	case Committing:
		return "committing"
	case Committed:
		return "committed"
	case CommitFailed:
		return "commit failed"
	case Aborted:
		return "aborted"
	default:
		return "unknown"
	}
}
