// Package transaction commits work in several data managers together, or in none of them. It is the Go form of Python's
// transaction package, and knows nothing of http or databases.
//
// Most code calls [Run], which runs a function in a transaction, commits, and runs it again in a new transaction when it
// lost a race:
//
//	err := transaction.Run(ctx, func(ctx context.Context) error {
//		return transfer(ctx, from, to, amount)
//	})
//
// Behind the tm filter there is a transaction already, in the request's context. Where neither fits, [Begin] returns a
// context that carries a new one, and [Txn.Commit] or [Txn.Abort] has to end it. A storage takes part by finding the
// transaction of the context ([FromContext]) and joining it with a [DataManager] ([Txn.Join]).
//
// # How a commit goes
//
//  1. Hooks registered with [Txn.BeforeCommit] run, then [Synchronizer.BeforeCompletion]. Data managers can still join.
//     If one fails, the transaction is still active.
//  2. The data managers are put in order: those that only read ([ReadOnlyReporter]), then those that can prepare
//     ([Preparer]), each by sort key, then the one that can't. Two that can't prepare are refused ([ErrOnePhase]). If all can,
//     the one with the highest key is the last.
//  3. Who only reads gets Commit, and is done.
//  4. All but the last of the others get Prepare: they promise, durably.
//  5. The last gets Commit, in one phase. That is the decision: when it returns nil, the transaction is committed.
//  6. The others get Finish. One that fails is logged, and stays prepared until recovery finishes it.
//  7. [Synchronizer.AfterCompletion] is called, and hooks registered with [Txn.AfterCommit] run.
//
// If anything fails in steps 2 to 5, whoever has not been let go in step 3 gets Abort, and nothing is kept. There is one
// exception: if it isn't known whether the last Commit happened ([ErrInDoubt]), those that prepared stay so, and get Leave if
// they are a [Leaver].
//
// There is no log of the coordinator. A data manager that decides while others hold prepared work ([Txn.Prepared]) has to
// record [Txn.ID] in the same durable act. After a crash, recovery finds what is prepared, and asks [Txn.Decider]: the
// transaction is recorded, so finish; or it is not, so abort. Nobody has finished before the decision, and nobody that
// prepared has aborted after it, so that is right whenever the crash came.
//
// # Left-over goroutines
//
// A goroutine may still be at work in a transaction when another one ends it: a handler that http.TimeoutHandler has given up,
// say. Whatever it calls then counts whole or is refused with [ErrEnded], because the end closes the transaction in one
// moment: after the hooks and synchronizers that come before it, and before the first data manager is told. For that moment it waits
// for the savepoints, rollbacks and held transactions ([Txn.Hold]) that are under way. A data manager has a mutex of its
// own for what its user calls. Locks are taken in this order: that of Hold, the data manager's, the transaction's, which is held
// for no call of anything else. Package transactiontest tests all pairs of calls.
//
// # Trying again
//
// An error is worth another attempt if a method Transient() bool of an error in its tree says so ([IsTransient]), or a data
// manager of the transaction that is a [TransientJudge]. So is any other end of work that has met a conflict, even if the app has passed over
// that: a [ConflictReporter] tells of it ([Txn.Conflict]). A [Policy] says how often and how soon; [Attempts] is its loop. An
// error that is a [Waiter] makes the next attempt wait for its turn.
//
// # Caveats
//
//   - What is run again runs wholly again. Keep effects that aren't part of the transaction for [Txn.AfterCommit].
//   - An error of Commit means that nothing was kept, unless it is [ErrInDoubt].
//   - A cancelled context stops a commit only before it has begun. Data managers bound the time of what they do themselves.
//   - A hook after the commit can't fail it any more, and isn't run if the process dies. What must happen belongs into the
//     transaction.
//   - Panics of data managers, hooks and synchronizers are contained, as a [PanicError], so that everybody learns of the end;
//     so does everybody when one of these ends the goroutine. Those of the function that Run runs go on up, after the abort.
//   - A transaction of a context hides one further out. The two are independent: work done in the inner one is kept even if
//     the outer one is aborted, and they may conflict with each other.
package transaction
