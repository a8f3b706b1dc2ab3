package transaction

import (
	"context"
	"fmt"
	"slices"

	"github.com/pasteline/pasteline/transaction/resource"
)

// Conflict returns the conflict that t has met, as far as its data managers know (see
// [resource.ConflictReporter]), or the one that made its Commit fail. Work that ended in another
// way, such as an error of its own, a veto or an Abort, is worth another attempt then. Conflict
// returns nil if there is none, if t was committed, or if the outcome is in doubt. After an Abort
// it returns the conflict that was known before.
func (t *Txn) Conflict(ctx context.Context) error {
	t.mu.Lock()
	status, managers := t.status, slices.Clone(t.managers)
	known, cause := t.conflict, t.cause
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
		reporter, ok := dm.(resource.ConflictReporter)
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

// Classify classifies err, the error of failed work, for the decision about another attempt. The
// result is marked as transient if a data manager calls err so ([Txn.IsTransient]), or wraps both
// err and the [Txn.Conflict] behind it. Call it before Abort.
func (t *Txn) Classify(ctx context.Context, err error) error {
	if err == nil || IsTransient(err) || final(err) {
		return err
	}
	if t.IsTransient(err) {
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
		t.conflict = conflict
		t.mu.Unlock()
	}
}
