package transaction

import (
	"context"
	"errors"
)

// Run is [Manager.Run] of a zero [Manager].
func Run(ctx context.Context, f func(context.Context) error, policy ...Policy) error {
	return new(Manager).Run(ctx, f, policy...)
}

// Run runs f in a transaction and commits it. It is for jobs and commands outside HTTP. If that
// fails with an error that is transient or that a data manager of the transaction calls so, or with
// any error after a conflict ([Txn.Conflict]), Run calls f again in a new transaction, as the
// policy says; at most one policy may be given. The effects of f outside the transaction have to be
// repeatable.
//
// If f returns an error or panics, the transaction is aborted; a panic then continues in the
// caller. If f dooms the transaction, Run returns [ErrDoomed]. If f, or a goroutine that it
// started, has committed the transaction, Run returns the error of f, or [ErrEnded], and doesn't
// call f again. Otherwise the error is that of the last attempt, and nil means committed. If ctx is
// done before a commit has begun, there is none.
func (m *Manager) Run(ctx context.Context, f func(context.Context) error, policy ...Policy) error {
	var p Policy
	switch len(policy) {
	case 0:
	case 1:
		p = policy[0]
	default:
		return errors.New("transaction: Run takes one policy")
	}
	if err := p.Validate(); err != nil {
		return err
	}
	attempts := p.Attempts(ctx)
	defer attempts.End()
	for {
		err := m.attempt(attempts.Context(), f)
		if !attempts.Again(err) {
			return err
		}
	}
}

// attempt runs f in one transaction.
func (m *Manager) attempt(ctx context.Context, f func(context.Context) error) (err error) {
	ctx, t, err := m.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if t.Status() != Committed { // avoids the allocations of a refused Abort
			err = t.Classify(ctx, err)
			// Also after a panic of f. If the transaction has been committed meanwhile, Abort is
			// refused.
			abortErr := t.Abort(ctx)
			if abortErr != nil && !errors.Is(abortErr, ErrEnded) {
				err = errors.Join(err, abortErr)
			}
			if !errors.Is(abortErr, ErrEnded) || t.Wait(ctx) != Committed {
				return
			}
		}
		err = Permanent(err)
	}()
	if err := f(ctx); err != nil {
		return err
	}
	return t.Commit(ctx)
}
