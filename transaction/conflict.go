package transaction

import (
	"context"
	"fmt"
	"slices"
)

// A ConflictReporter is a [DataManager] that knows of a conflict before, or without, a commit. It is asked when the work has failed in
// another way, or is not to be kept: the failure may well be what a lost race has led to.
type ConflictReporter interface {
	DataManager

	// Conflict returns a transient error that the manager has returned in the course of the transaction, to whoever used it, or the
	// one that a Commit would return now because something was changed that had been read. Nil: there is none, or it can't be told
	// without a Commit. The transaction is aborted afterwards, but may be used until then. Conflict may be called by a goroutine other
	// than the one that uses the manager.
	Conflict(ctx context.Context) error
}

// Conflict returns the conflict that t has run into, as far as its data managers know ([ConflictReporter]), or that has made its Commit
// fail: work that ended in another way then, with an error of its own, a veto or an Abort, is worth another attempt nonetheless. It
// returns nil if there is none, if t was committed, or if that is in doubt. After an Abort it returns what was known before.
func (t *Txn) Conflict(ctx context.Context) error {
	t.mu.Lock()
	status, known, cause, managers := t.status, t.has().conflict, t.has().cause, slices.Clone(t.managers)
	t.mu.Unlock()
	switch {
	case status == Committed || final(cause):
		return nil
	case known != nil:
		return known
	case IsTransient(cause):
		return cause
	}
	for _, dm := range managers {
		reporter, ok := dm.(ConflictReporter)
		if !ok {
			continue
		}
		var conflict error
		t.report(ctx, "data manager cannot tell whether there is a conflict", dm, contain(func() error {
			conflict = reporter.Conflict(ctx)
			return nil
		}))
		if IsTransient(conflict) {
			return conflict
		}
	}
	return nil
}

// Judge returns the error of work that failed with err, as whoever decides about another attempt has to know it: marked as transient if a
// data manager calls it so ([Txn.IsTransient]), or together with the [Txn.Conflict] that it hides. Ask before Abort.
func (t *Txn) Judge(ctx context.Context, err error) error {
	if err == nil || IsTransient(err) || final(err) {
		return err
	}
	if t.IsTransient(err) { //nolint:contextcheck // a data manager's judgement needs none
		return Transient(err)
	}
	if conflict := t.Conflict(ctx); conflict != nil {
		return fmt.Errorf("%w, after a conflict: %w", err, conflict)
	}
	return err
}

// noteConflict remembers the conflict, for those who ask after the end.
func (t *Txn) noteConflict(ctx context.Context) {
	if conflict := t.Conflict(ctx); conflict != nil {
		t.mu.Lock()
		t.more().conflict = conflict
		t.mu.Unlock()
	}
}
