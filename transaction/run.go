package transaction

import (
	"context"
	"errors"
	"time"

	"github.com/pasteline/pasteline/observe"
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
	if seen := observe.FromContext(ctx); seen.JobListening() {
		return m.observed(ctx, seen, f, p)
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

// observed is Run for a job that has listeners.
func (m *Manager) observed(
	ctx context.Context, job *observe.Request, f func(context.Context) error, p Policy,
) (err error) {
	start := observe.JobStart{Name: job.Job(), Time: time.Now()}
	ctx = job.JobStart(ctx, start)
	err = errGoexit
	defer func() { job.JobEnd(ctx, start.End(err)) }()
	attempts := p.Attempts(ctx)
	defer attempts.End()
	for {
		err = m.observedAttempt(attempts, job, f)
		if !attempts.Again(err) {
			return err
		}
	}
}

// errGoexit is told to listeners if f ends the goroutine.
var errGoexit = errors.New("the function panicked or ended its goroutine")

func (m *Manager) observedAttempt(
	attempts *Attempts, job *observe.Request, f func(context.Context) error,
) (err error) {
	try := attempts.Attempt()
	start := observe.AttemptStart{Number: try.Number, Tries: try.Tries, Time: time.Now()}
	ctx := job.JobAttemptStart(attempts.Context(), start)
	err = errGoexit
	defer func() {
		end := start.End(0, err, !try.Last() && attempts.Retryable(err))
		switch {
		case err == nil:
			end.Outcome = observe.Committed
		case attempts.Retryable(err):
			end.Outcome = observe.Conflicted
		default:
			end.Outcome = observe.Aborted
		}
		job.JobAttemptEnd(ctx, end)
	}()
	return m.attempt(ctx, f)
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
