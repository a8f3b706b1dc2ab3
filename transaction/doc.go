// Package transaction commits work in several databases together, or in none of them. It is a Go
// form of Python's transaction package, and is independent of HTTP and of any database.
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
// [Txn.Abort]. A database takes part by finding the context's transaction ([FromContext]) and
// joining it with a data manager ([Txn.Join]): package resource is for its author, and has the
// steps of a commit.
//
// # Retries
//
// An error is worth another attempt if an error in its tree has a method Transient() bool that
// returns true ([IsTransient]), or if a data manager of the transaction says so. The same holds for
// any other failure after a conflict, even one whose error the app has ignored ([Txn.Conflict]). A
// [Policy] says how often and how soon to try; [Attempts] is its loop. If the error is a
// [resource.Waiter], the next attempt first waits until it is likely to succeed.
//
// # Goroutines that outlive the end
//
// A goroutine may still use a transaction when another one ends it: for example, a handler that
// http.TimeoutHandler has given up. Each of its calls then takes effect as a whole or fails with
// [ErrEnded], because the end closes the transaction at a single moment: after the hooks and
// synchronizers that precede it, and before the first call to a data manager. Before it does so, it
// waits for running savepoints and rollbacks, and for [Txn.Release] of a held transaction
// ([Txn.Hold]).
//
// # Caveats
//
//   - A retry runs the whole function again. Keep effects outside the transaction for
//     [AfterCommit].
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
