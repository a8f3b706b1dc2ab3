package transaction

import (
	"context"
	"errors"
)

// Run is [Manager.Run] of a zero [Manager].
func Run(ctx context.Context, f func(context.Context) error, policy ...Policy) error {
	return new(Manager).Run(ctx, f, policy...)
}

// Run runs f in a transaction and commits it, for jobs and commands outside http. When that fails with an error that is
// transient, or that a data manager of the transaction calls so, or with any other after a conflict ([Txn.Conflict]), f is run again from the start in a new transaction, as
// the policy says; at most one may be given. What f does besides the transaction has to bear that.
//
// If f returns an error or panics, the transaction is aborted, and the panic goes on up. If f dooms it, Run returns
// [ErrDoomed]. If f, or a goroutine that it has left over, has committed the transaction, an error of f is returned, or [ErrEnded], and
// f is not run again. Otherwise the error is that of the last attempt, and nil means committed. If ctx is done before a commit
// has begun, there is none.
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
		err := m.attempt(attempts.Context(), f) //nolint:contextcheck // it is derived from ctx
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
		if t.Status() != Committed { // an Abort that is refused would cost 4 allocations, to say so
			err = t.Judge(ctx, err)
			// After a panic of f, too. A transaction that has been committed says so, and stays.
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
