// Package recovery settles two-phase commits that a crash has interrupted: it finishes or rolls
// back work that was prepared and not finished.
//
// Of several data managers in one transaction, all but the last prepare, and the commit of the last
// is the decision (see package transaction). If the process dies in between, databases hold
// prepared work, with its locks, until it is settled. Recovery finds this work and asks the
// database that was to decide:
//
//	there is a record      the transaction was committed: finish the prepared work
//	there is none          record that it never will be committed, then roll the work back
//
// The record in the second case makes this safe even if the process that prepared the work is alive
// and only slow: its commit meets the record and fails. Nevertheless, recovery leaves work alone
// whose process is known to be alive: a slow commit is no reason to make it fail.
//
// Recovery also settles work whose process is still alive but never learned the outcome because the
// recorder's answer was lost.
//
// A [Set] holds the databases of a program: those that may hold prepared work are [Participant]s,
// those that decide are [Recorder]s, many are both. A Participant does not list work that another
// program has prepared, so that work is never touched. [Set.Recover] makes one pass, and a [Worker]
// one at every interval. Work whose recorder is not in the set stays prepared until it is, or until
// an operator settles it by hand ([Set.Force]).
//
// # Caveats
//
// A record is deleted when all managers have finished. Records of transactions that a crash has
// interrupted stay, as do those whose batched deletion was pending when the process died: up to
// about a hundred per crash, of a few bytes each.
//
// If a transaction was to be decided by a data manager that keeps no record, the work prepared by
// others is rolled back after a crash, whether or not that manager had committed.
package recovery
