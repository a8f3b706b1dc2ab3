package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pasteline/pasteline/transaction/resource"
)

// A Savepoint is a moment in a transaction to which its data managers can be rolled back. It is
// valid until the transaction is rolled back to an earlier one or its end begins, even if a Doom
// stops the commit then.
type Savepoint struct {
	t     *Txn
	saves []resource.Savepoint // of the managers that had joined, in that order
}

// Savepoint makes a savepoint of the present state. If a data manager has no savepoints or fails to
// make one, the transaction has failed and can only be aborted. Errors: [ErrNoSavepoint], the error
// of a data manager, [ErrEnded], [ErrCommitFailed].
func (t *Txn) Savepoint() (*Savepoint, error) { return t.savepoint(false) }

// OptimisticSavepoint is Savepoint for code that hopes not to roll back: it accepts data managers
// without savepoints, and the rollback fails instead, with [ErrNoSavepoint], if one of those had
// joined before.
func (t *Txn) OptimisticSavepoint() (*Savepoint, error) { return t.savepoint(true) }

func (t *Txn) savepoint(optimistic bool) (*Savepoint, error) {
	var log journal
	defer log.write(t)
	t.held.Lock()
	defer t.held.Unlock()
	managers, err := t.joined("make a savepoint")
	if err != nil {
		return nil, err
	}

	s := &Savepoint{t: t, saves: make([]resource.Savepoint, len(managers))}
	for i, dm := range managers {
		err := recovered(func() (err error) {
			s.saves[i], err = savepointOf(dm, optimistic)
			return err
		})
		if err != nil {
			// before Abort is called: a usable transaction would mean a rollback there
			t.fail(err)
			err = t.undo(t.background(), managers, err, log.add)
			t.fail(err)
			t.mu.Lock()
			t.settled = true
			t.mu.Unlock()
			return nil, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.savepoints = append(t.savepoints, s)
	return s, nil
}

// joined returns the managers for an operation that calls them, or why t can't be used.
func (t *Txn) joined(operation string) ([]resource.DataManager, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(operation); err != nil {
		return nil, err
	}
	return slices.Clone(t.managers), nil
}

func savepointOf(dm resource.DataManager, optimistic bool) (resource.Savepoint, error) {
	switch sp, ok := dm.(resource.Savepointer); {
	case ok:
		return sp.Savepoint()
	case optimistic:
		return unsupportedSavepoint{dm}, nil
	default:
		return nil, unsupportedSavepoint{dm}.Rollback()
	}
}

// unsupportedSavepoint is the savepoint of a manager that is no Savepointer. Its Rollback fails.
type unsupportedSavepoint struct{ dm resource.DataManager }

func (n unsupportedSavepoint) Rollback() error {
	return fmt.Errorf("%w: %q (%T)", ErrNoSavepoint, n.dm.SortKey(), n.dm)
}

// Rollback returns the data managers to their state at the savepoint, and aborts those that joined
// later: they are no longer part of the transaction, but may join again. Later savepoints become
// invalid; this one can be used again. Hooks, notes and data are not rolled back. If a data manager
// fails, the transaction has failed and can only be aborted. Errors: [ErrInvalidSavepoint], which
// also wraps [ErrEnded] if that is the reason; [ErrNoSavepoint], [ErrCommitFailed], the errors of
// data managers.
func (s *Savepoint) Rollback() error {
	t := s.t
	var log journal
	defer log.write(t)
	t.held.Lock()
	defer t.held.Unlock()
	if err := s.forgetLater(); err != nil {
		return err
	}

	for _, save := range s.saves {
		if err := recovered(save.Rollback); err != nil {
			t.fail(err)
			return err
		}
	}

	t.mu.Lock()
	n := min(len(s.saves), len(t.managers))
	late := slices.Clone(t.managers[n:])
	t.managers = slices.Delete(t.managers, n, len(t.managers))
	t.mu.Unlock()
	if err := errors.Join(t.abortManagers(t.background(), late, log.add)...); err != nil {
		t.fail(err)
		return err
	}
	return nil
}

// forgetLater invalidates the savepoints made after s, or returns why there can be no rollback to
// s.
func (s *Savepoint) forgetLater() error {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.savepoints, s)
	err := t.usable("roll back")
	switch {
	case i >= 0 && err != nil:
		return err
	case i >= 0:
		t.savepoints = slices.Delete(t.savepoints, i+1, len(t.savepoints))
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrInvalidSavepoint, err)
	case t.ending:
		return fmt.Errorf("%w: %w", ErrInvalidSavepoint, ErrEnded)
	}
	return ErrInvalidSavepoint
}

// Valid reports whether Rollback is possible.
func (s *Savepoint) Valid() bool {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	return (s.t.status == Active || s.t.status == Doomed) &&
		slices.Contains(s.t.savepoints, s)
}

// HasSavepoint reports whether t has a valid savepoint: a data manager that is about to do its
// first work may have to prepare for a rollback to it.
func (t *Txn) HasSavepoint() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.savepoints) > 0
}

// A journal collects the data managers that did not abort, with their errors, until t.held is
// unlocked: the log's handler may use the transaction.
type journal []func(log func(resource.DataManager, error))

func (j *journal) add(dm resource.DataManager, err error) {
	*j = append(*j, func(log func(resource.DataManager, error)) { log(dm, err) })
}

func (j *journal) write(t *Txn) {
	for _, line := range *j {
		line(t.notAborted(t.background()))
	}
}

// fail sets the status to CommitFailed, so that only Abort is left.
func (t *Txn) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status, t.cause = CommitFailed, err
}

// background returns the context for calls of data managers that are made without one.
func (t *Txn) background() context.Context { return context.WithoutCancel(&t.carrier) }
