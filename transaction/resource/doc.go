// Package resource has the interfaces through which a database, a queue or any other resource
// takes part in transactions. It is for the authors of resources; code that only uses transactions
// needs package transaction alone.
//
// A resource takes part with a [DataManager], one for each transaction. On the first use in a
// transaction it joins one, and on later uses it finds it again, both in one call:
//
//	t, ok := transaction.FromContext(ctx)
//	if !ok {
//		return transaction.ErrNoTransaction
//	}
//	work, err := t.JoinAs(key{db}, w, w) // w, or the value that was stored under the key before
//
// A DataManager may implement any of the other interfaces of this package, which are found by type
// assertion.
//
// # How a commit goes
//
//  1. Hooks registered with Txn.BeforeCommit run, then the synchronizers. Data managers can still
//     join. If one fails, the transaction is still active.
//  2. The data managers are sorted: those that only read ([ReadOnlyReporter]), then those that can
//     prepare ([Preparer]), each by sort key, then the one that can't. Two that can't prepare are
//     refused (transaction.ErrOnePhase). If all can, the last is the one with the highest key
//     among those that record decisions ([Recorder]).
//  3. Read-only managers are committed; they take no further part.
//  4. Every other manager but the last is prepared: it durably promises to commit.
//  5. The last is committed, in one phase. That is the decision: when its Commit returns nil, the
//     transaction is committed.
//  6. The prepared managers are finished. If one fails, that is logged, and its work stays prepared
//     until recovery finishes it.
//  7. Synchronizers are notified, and hooks registered with Txn.AfterCommit run.
//
// If any of steps 2 to 5 fails, all managers except those that committed in step 3 are aborted, and
// nothing is kept. There is one exception: if it isn't known whether the last Commit happened
// (transaction.ErrInDoubt), the prepared managers stay prepared, and those that are a [Leaver] are
// told to Leave.
//
// The coordinator keeps no log. Instead, a data manager that decides while others hold prepared
// work ([Txn.Prepared]) has to record [Txn.ID] in the same durable write as its own changes. After
// a crash, recovery finds the prepared work and asks the database named by [Txn.Recorder]: if the
// transaction is recorded there, the work is finished, else it is aborted. No manager finishes
// before the decision, and no prepared manager aborts after it, so this is correct whenever the
// crash came. Package transaction/recovery has the other half of this contract.
//
// # Use by other goroutines
//
// A goroutine may still use the resource when another one ends the transaction: its calls before
// the end count, and later ones fail with transaction.ErrEnded. So a data manager has a mutex of
// its own for the calls of its users. Mutexes are locked in this order: that of Txn.Hold, the data
// manager's, the transaction's; the last is never held while other code is called. Package
// transactiontest tests all pairs of calls.
package resource
