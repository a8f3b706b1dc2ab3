// Package transaction commits work in several data managers together, or in none of them. A data
// manager is the part of a database (or of any other resource) that takes part in a transaction.
// The package is a Go form of Python's transaction package, and is independent of HTTP and of any
// database.
//
// Most code calls [Run], which calls a function in a transaction, commits, and calls it again in a
// new transaction if it conflicted with another one:
//
//	err := transaction.Run(ctx, func(ctx context.Context) error {
//		return transfer(ctx, from, to, amount)
//	})
//
// Behind the tm filter, the request's context already carries a transaction. Where neither fits,
// [Begin] returns a context that carries a new one, which has to be ended with [Txn.Commit] or
// [Txn.Abort]. A storage takes part by finding the context's transaction ([FromContext]) and
// joining it with a [DataManager] ([Txn.Join]).
//
// # How a commit goes
//
//  1. Hooks registered with [Txn.BeforeCommit] run, then [Synchronizer.BeforeCompletion]. Data
//     managers can still join. If one fails, the transaction is still active.
//  2. The data managers are sorted: those that only read ([ReadOnlyReporter]), then those that can
//     prepare ([Preparer]), each by sort key, then the one that can't. Two that can't prepare are
//     refused ([ErrOnePhase]). If all can, the last is the one with the highest key among those
//     that record decisions ([Decider]).
//  3. Read-only managers are committed; they take no further part.
//  4. Every other manager but the last is prepared: it durably promises to commit.
//  5. The last is committed, in one phase. That is the decision: when its Commit returns nil, the
//     transaction is committed.
//  6. The prepared managers are finished. If one fails, that is logged, and its work stays prepared
//     until recovery finishes it.
//  7. [Synchronizer.AfterCompletion] is called, and hooks registered with [Txn.AfterCommit] run.
//
// If any of steps 2 to 5 fails, all managers except those that committed in step 3 are aborted, and
// nothing is kept. There is one exception: if it isn't known whether the last Commit happened
// ([ErrInDoubt]), the prepared managers stay prepared, and those that are a [Leaver] are told to
// Leave.
//
// The coordinator keeps no log. Instead, a data manager that decides while others hold prepared
// work ([Txn.Prepared]) has to record [Txn.ID] in the same durable write as its own changes. After
// a crash, recovery finds the prepared work and asks the database named by [Txn.Decider]: if the
// transaction is recorded there, the work is finished, else it is aborted. No manager finishes
// before the decision, and no prepared manager aborts after it, so this is correct whenever the
// crash came.
// # Goroutines that outlive the end
//
// A goroutine may still use a transaction when another one ends it: for example, a handler that
// http.TimeoutHandler has given up. Each of its calls then takes effect as a whole or fails with
// [ErrEnded], because the end closes the transaction at a single moment: after the hooks and
// synchronizers that precede it, and before the first call to a data manager. Before it does so, it
// waits for running savepoints and rollbacks, and for [Txn.Release] of a held transaction
// ([Txn.Hold]). A data manager has a mutex of its own for the calls of its users. Locks are taken
// in this order: that of Hold, the data manager's, the transaction's; the last is never held while
// other code is called. Package transactiontest tests all pairs of calls.
//
// # Retries
//
// An error is worth another attempt if an error in its tree has a method Transient() bool that
// returns true ([IsTransient]), or if a data manager of the transaction that is a [TransientJudge]
// says so. The same holds for any other failure after a conflict, even one whose error the app has
// ignored: a [ConflictReporter] reports it ([Txn.Conflict]). A [Policy] says how often and how soon
// to try; [Attempts] is its loop. If the error is a [Waiter], the next attempt first waits until it
// is likely to succeed.
//
// # Caveats
//
//   - A retry runs the whole function again. Keep effects outside the transaction for
//     [Txn.AfterCommit].
//   - An error of Commit means that nothing was kept, unless it is [ErrInDoubt].
//   - Cancelling its context stops a commit only before it has begun. Data managers limit the time
//     of their own operations.
//   - A hook after the commit can't make it fail, and doesn't run if the process dies first.
//     Effects that must not be lost belong into the transaction.
//   - Panics in data managers, hooks and synchronizers are recovered and returned or logged as a
//     [PanicError], so that the remaining participants are still notified. They are also notified
//     if one of them ends the goroutine (runtime.Goexit). A panic of the function passed to Run
//     continues in the caller, after the abort.
//   - A transaction begun inside another hides the outer one in its context. The two are
//     independent: work of the inner one is kept even if the outer one is aborted, and they may
//     conflict with each other.
package transaction
