// Package recovery settles two-phase commits that a crash has cut short: what was prepared and never finished.
//
// Of several data managers in one transaction, all but the last prepare, and the commit of the last is the decision (see
// package transaction). If the process dies in between, databases are left that hold prepared work, with its locks, until
// somebody finishes it. Whoever finds it asks the database that was to decide:
//
//	there is a record           finish it: the transaction was committed
//	there is none               leave a record that it never will be, then roll it back
//
// The record that is left, in the second case, is what makes this safe, whatever the one who prepared is doing meanwhile: if
// it still lives and is only slow, its commit meets the record and fails. Nevertheless nothing is touched whose process is known
// to live: a slow commit is no reason to make it fail.
//
// What was not told the outcome by a process that lives on, because the answer of the decider was lost, is for recovery, too.
//
// A [Set] knows the databases of a program: those that may hold prepared work are [Participant]s, those that decide are
// [Decider]s, many are both. What another program has prepared is not shown by a Participant, so it is never touched.
// [Set.Recover] settles once, and a [Worker] again and again. What can't be settled, because who decides is not in the set, stays until
// it is, or until somebody who knows says what to do ([Set.Force]).
//
// # Caveats
//
// A record is forgotten when all have finished. Those of transactions that a crash has cut short stay, and those that were to be deleted
// with the next ones when the process died: up to a hundred or so a crash, of a few bytes each.
//
// Where a transaction was to be decided by a data manager that keeps no record, what others had prepared is rolled back after a crash,
// whether or not that one had committed.
package recovery
