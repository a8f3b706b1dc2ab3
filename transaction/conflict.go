package transaction

import (
	"context"
	"fmt"
	"slices"
)

// A ConflictReporter is a [DataManager] that can report a conflict before, or without, a commit. It
// is asked when the work has failed in another way or is to be discarded: the failure may be a
// consequence of the conflict.
type ConflictReporter interface {
	DataManager

	// Conflict returns a transient error that the manager has returned to its user in the course of
	// the transaction, or the one that Commit would return now because data that was read has
	// changed since. It returns nil if there is no conflict, or finding it would need a Commit. The
	// transaction is aborted afterwards, but may be used until then. Conflict may be called by
	// another goroutine than the one that uses the manager.
	Conflict(ctx context.Context) error
}

// Conflict returns the conflict that t has met, as far as its data managers know
// ([ConflictReporter]), or the one that made its Commit fail. Work that ended in another way, such
// as an error of its own, a veto or an Abort, is worth another attempt then. Conflict returns nil
// if there is none, if t was committed, or if the outcome is in doubt. After an Abort it returns
// the conflict that was known before.
func (t *Txn) Conflict(ctx context.Context) error {
	t.mu.Lock()
	status, managers := t.status, slices.Clone(t.managers)
	known, cause := t.readCold().conflict, t.readCold().cause
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
		t.report(ctx, "data manager cannot tell whether there is a conflict", dm,
			recovered(func() error {
				conflict = reporter.Conflict(ctx)
				return nil
			}))
		if IsTransient(conflict) {
			return conflict
		}
	}
	return nil
}

// Judge classifies err, the error of failed work, for the decision about another attempt. The
// result is marked as transient if a data manager calls err so ([Txn.IsTransient]), or wraps both
// err and the [Txn.Conflict] behind it. Call it before Abort.
func (t *Txn) Judge(ctx context.Context, err error) error {
	if err == nil || IsTransient(err) || final(err) {
		return err
	}
	if t.IsTransient(err) { //nolint:contextcheck // a data manager needs none to classify an error
		return Transient(err)
	}
	if conflict := t.Conflict(ctx); conflict != nil {
		return fmt.Errorf("%w, after a conflict: %w", err, conflict)
	}
	return err
}

// noteConflict stores the conflict for calls of Conflict after the end.
func (t *Txn) noteConflict(ctx context.Context) {
	if conflict := t.Conflict(ctx); conflict != nil {
		t.mu.Lock()
		t.writeCold().conflict = conflict
		t.mu.Unlock()
	}
}
