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
// A [Set] knows the databases of a program: those that may hold prepared work are [Participant]s, those that decide are
// [Decider]s, many are both. What another program has prepared is not shown by a Participant, so it is never touched.
package recovery
