package transaction

import "context"

// A DataManager takes part in a transaction: it keeps changes back until Commit makes them durable, or Abort drops
// them. It is joined with [Txn.Join], and has to be comparable, as pointers are.
//
// Every manager that joined is told the end exactly once: Commit (after which nothing more is said if it returned nil),
// Finish, or Abort; a [Leaver] may be told Leave in place of these. Its methods are never called two at a time, and those that end it by
// the one goroutine that ends the transaction, with a context that carries the transaction and isn't cancelled with the caller's.
// Goroutines that are left over may still use the resource: what they do before the end counts, and the rest is refused with [ErrEnded]. A panic counts as an error; in the Commit
// that decides it leaves the transaction in doubt.
//
// A DataManager may also be a [Preparer], a [Leaver], a [Decider], a [ReadOnlyReporter], a [Savepointer], a [TransientJudge],
// a [ConflictReporter].
type DataManager interface {
	// SortKey orders the managers of a transaction, so that two transactions that lock do so in one order. It should
	// name the resource, and not change.
	SortKey() string

	// Commit makes the changes durable in one phase. An error means that nothing was committed, except one that wraps
	// [ErrInDoubt]; Abort follows in either case, to let go of what is held. When t.Prepared() reports true, others hold
	// prepared work, and this Commit is the decision: what it makes durable has to include t.ID(), for whoever has to find
	// out after a crash.
	Commit(ctx context.Context, t *Txn) error

	// Abort drops the changes and lets go of everything held, prepared or not. It has no say in whether to abort; an
	// error is reported only.
	//
	// The transaction is over then, with one exception: if t is still Active or Doomed, it was rolled back to a savepoint
	// from before the manager joined, and goes on without it. Who has to remember more than its changes, such as what was
	// read, joins again at once: Abort may call t.Join.
	Abort(ctx context.Context, t *Txn) error
}

// A Preparer is a DataManager that can promise, durably, to commit. Of several managers that write, all but the last
// have to be Preparers.
type Preparer interface {
	DataManager

	// Prepare makes the changes durable, under a name that includes t.ID(), so that Finish can't fail for a reason of
	// theirs, not even after a crash; and with them t.Decider(), which recovery has to ask. An error means no promise; Abort
	// follows.
	Prepare(ctx context.Context, t *Txn) error

	// Finish makes what was prepared visible: the transaction is committed. An error leaves it prepared, in doubt, for
	// recovery to settle; the transaction stays committed.
	Finish(ctx context.Context, t *Txn) error
}

// A Leaver is a Preparer that holds more than what it has prepared: a connection, say, or what tells recovery that somebody is
// at work.
type Leaver interface {
	Preparer

	// Leave comes in place of Finish or Abort if it isn't known whether t was committed. What was prepared stays so, and is recovery's
	// from now on, though the process lives; everything else is let go of.
	Leave(ctx context.Context, t *Txn)
}

// A Decider is a DataManager that can record, with its own Commit, that a transaction was committed over others who had
// prepared. Whoever finds prepared work after a crash asks where it was to be decided; no record means aborted. A manager
// that decides and is no Decider leaves no record, so that what others prepared is rolled back after a crash.
type Decider interface {
	DataManager

	// DeciderID names the place where decisions are recorded: up to 64 letters, digits and hyphens, which are the same in
	// every process, stay so when the place is called or reached in another way, and no other place has. If it is empty,
	// nothing is recorded.
	DeciderID() string

	// Forget is called when t was committed here and all who had prepared have finished: nobody will ask for its record.
	Forget(ctx context.Context, t *Txn)
}

// A ReadOnlyReporter can say that it has nothing to write. If so, it is committed before the others: that it can't
// prepare matters to nobody then.
type ReadOnlyReporter interface{ ReadOnly() bool }

// A Savepointer is a DataManager whose state can be rolled back to an earlier moment of the transaction. While it makes a savepoint,
// or is rolled back to one, the end of the transaction waits: it calls no [Txn.Hold], Savepoint, Rollback, Commit or Abort meanwhile.
type Savepointer interface {
	Savepoint() (DataSavepoint, error)
}

// A DataSavepoint is a moment in one data manager. Rollback may be called more than once.
type DataSavepoint interface{ Rollback() error }

// A TransientJudge is a DataManager that knows which errors are worth another attempt. It is asked about errors of
// others too: of the app, or of a driver that it wraps.
type TransientJudge interface{ IsTransient(err error) bool }

// A Synchronizer is told of the life of every transaction of the [Manager] with which it is registered. It has to be
// comparable, and, as the transactions of several goroutines are, safe for concurrent use.
type Synchronizer interface {
	// NewTransaction is called when t begins. An error refuses it.
	NewTransaction(t *Txn) error

	// BeforeCompletion is called before t commits or aborts; data managers may still join. An error stops a commit, with
	// the transaction still active, and is reported by an abort.
	BeforeCompletion(t *Txn) error

	// AfterCompletion is called when t has committed, has failed to commit, or has been aborted. After a failed commit it
	// is called a second time, when that transaction is aborted.
	AfterCompletion(t *Txn)
}

// Status is the state of a transaction.
type Status int

// The states of a transaction.
const (
	Active       Status = iota // may be used
	Doomed                     // may be used, and can only be aborted
	Committing                 // data managers are being committed
	Committed                  // is over, and durable
	CommitFailed               // a commit or savepoint failed; can only be aborted
	Aborted                    // is over, and left nothing
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
