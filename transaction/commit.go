package transaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction/resource"
)

// Commit makes the work of the transaction durable, in all its data managers or in none. The
// comment of package resource lists the steps.
//
// If ctx is done already, the transaction is not committed and stays active. Once begun, a commit
// can't be cancelled: everything runs under [context.WithoutCancel], with the values of ctx and
// this transaction.
//
// Errors: [ErrDoomed]; [ErrEnded]; [ErrCommitFailed] if an operation failed before; the error of a
// hook or synchronizer, with the transaction still active; or, with the status now CommitFailed,
// the data managers' errors, joined with [errors.Join]. Call Abort after any of them. Nil means
// committed; if a data manager can't finish after the decision, that is logged.
func (t *Txn) Commit(ctx context.Context) error {
	if over, err := t.startCommit(ctx); over || err != nil {
		return err
	}
	ctx = t.detach(ctx)
	defer t.finishEnd() // deferred, here and below: a callee may end the goroutine (runtime.Goexit)
	managers, err := t.runBeforeCommit(ctx)
	if err != nil {
		return err
	}
	return t.commitManagers(ctx, managers)
}

// finishEnd is the last step of a Commit or Abort: it wakes the callers of Wait.
func (t *Txn) finishEnd() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = false
	if t.left != nil {
		close(t.left)
		t.left = nil
	}
	if t.status == Committed || t.status == Aborted {
		t.forget()
	}
}

// startCommit begins a commit. A transaction without managers, hooks and synchronizers is committed
// at once.
func (t *Txn) startCommit(ctx context.Context) (over bool, err error) {
	t.held.Lock() // for the case that t is committed at once
	defer t.held.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ending:
		return false, fmt.Errorf("%w: cannot commit, its end has begun", ErrEnded)
	case t.status == Doomed:
		return false, ErrDoomed
	}
	if err := t.usable("commit"); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, fmt.Errorf("transaction: not committed: %w", context.Cause(ctx))
	}
	if t.noParticipants() {
		t.status, t.settled = Committed, true
		t.forget()
		return true, nil
	}
	t.ending = true
	t.savepoints = nil // none is valid any more
	return false, nil
}

// noParticipants reports whether t has nothing to call when it ends. The caller holds t.mu.
func (t *Txn) noParticipants() bool {
	return len(t.managers)+len(t.synchronizers) == 0 && t.hooks == nil
}

// detach returns the context for all calls from here on: it carries t and can't be cancelled.
func (t *Txn) detach(ctx context.Context) context.Context {
	t.mu.Lock()
	alone := t.noParticipants()
	t.mu.Unlock()
	if alone {
		return ctx // unused: saves the allocation
	}
	if other, _ := FromContext(ctx); other != t {
		ctx = &carrier{Context: ctx, txn: t}
	}
	return context.WithoutCancel(ctx)
}

// runBeforeCommit runs the hooks and synchronizers that can still veto the commit, then closes the
// transaction: it waits for calls that hold t, and later ones are refused. It returns the data
// managers that have joined.
func (t *Txn) runBeforeCommit(ctx context.Context) ([]resource.DataManager, error) {
	for {
		f, ok := first(t, beforeCommit)
		if !ok {
			break
		}
		if err := recovered(func() error { return f(ctx) }); err != nil {
			return nil, err
		}
		dropFirst(t, beforeCommit)
	}
	for _, s := range t.synchronizers {
		if err := recovered(func() error { return s.BeforeCompletion(t) }); err != nil {
			return nil, err
		}
	}
	t.held.Lock()
	defer t.held.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status == Doomed { // by a hook
		return nil, ErrDoomed
	}
	if err := t.usable("commit"); err != nil { // a hook's savepoint failed
		return nil, err
	}
	t.status = Committing
	return t.managers, nil
}

// runAfterCommit records the outcome and passes it to synchronizers and hooks.
func (t *Txn) runAfterCommit(ctx context.Context, err error) {
	t.mu.Lock()
	t.status, t.prepared, t.settled = Committed, false, true
	if err != nil {
		t.status, t.cause = CommitFailed, err
	}
	t.mu.Unlock()

	t.afterCompletion(ctx)
	each(ctx, t, afterCommit, "hook after commit panicked",
		func(f func(context.Context, bool)) { f(ctx, err == nil) })
}

func (t *Txn) afterCompletion(ctx context.Context) {
	forAll(t.synchronizers, func(s Synchronizer) {
		t.report(ctx, "synchronizer panicked after completion", nil,
			recovered(func() error { s.AfterCompletion(t); return nil }))
	})
}

// commitManagers runs the two-phase protocol. When it returns, all managers know the outcome.
//
// The steps are a function of their own: in one with three defers and all these returns, the
// compiler would leave the defers to the runtime, which is slower.
func (t *Txn) commitManagers(ctx context.Context, managers []resource.DataManager) (err error) {
	var start time.Time
	if t.seen != nil {
		start = time.Now()
		t.seen.CommitStart(ctx, observe.CommitStart{Managers: len(managers), Time: start})
	}
	defer func() {
		if t.seen != nil {
			t.seen.CommitEnd(ctx, observe.CommitEnd{
				Managers: len(managers), Err: err, Start: start, Duration: time.Since(start),
			})
		}
		t.runAfterCommit(ctx, err)
	}()
	if len(managers) == 0 {
		return nil
	}
	if t.manager != nil && t.manager.Logger != nil {
		if start.IsZero() {
			start = time.Now()
		}
		defer func() { t.reportSlow(ctx, managers, time.Since(start)) }()
	}
	p := progress{rest: managers, exit: errExit}
	defer func() {
		if p.exit != nil {
			err = p.exit
		}
		if err != nil {
			err = t.undo(ctx, p.rest, err, t.notAborted(ctx))
		}
	}()
	defer func() { t.leaveInDoubt(ctx, p.inDoubt) }()
	err = t.commitInSteps(ctx, managers, &p)
	p.exit = nil
	return err
}

// progress says what to do with each manager if the commit fails now.
type progress struct {
	rest    []resource.DataManager // to be aborted
	inDoubt []resource.Preparer    // to be left prepared
	exit    error                  // the error of the commit if a callee ends the goroutine
}

// commitInSteps commits managers, at least one, and keeps p up to date.
func (t *Txn) commitInSteps(ctx context.Context, managers []resource.DataManager,
	p *progress,
) error {
	o, err := arrange(managers)
	p.rest = o.all
	if err != nil {
		return err
	}
	for i, dm := range o.readers {
		p.rest = o.all[i:]
		if err := recovered(func() error { return dm.Commit(ctx, t) }); err != nil {
			return err
		}
	}
	if o.last == nil {
		return nil // no manager writes
	}
	writers := o.all[len(o.readers):]
	p.rest = writers
	if len(o.preparers) > 0 {
		t.mu.Lock()
		t.recorder = o.lastID
		t.mu.Unlock()
	}
	for _, dm := range o.preparers {
		failpoint.Here("before prepare")
		if err := recovered(func() error { return dm.Prepare(ctx, t) }); err != nil {
			return err
		}
		failpoint.Here("after prepare")
	}
	if len(o.preparers) > 0 {
		t.mu.Lock()
		t.prepared = true
		t.mu.Unlock()
	}

	// While the last manager commits, the outcome is unknown: if it stays so, the others stay
	// prepared.
	p.rest, p.inDoubt, p.exit = writers[len(o.preparers):], o.preparers, errExitInDoubt
	failpoint.Here("before decision")
	switch err := recovered(func() error { return o.last.Commit(ctx, t) }); {
	case err == nil:
	case !isInDoubt(err):
		p.rest, p.inDoubt = writers, nil
		return err
	default:
		t.report(ctx, "transaction in doubt: the commit may or may not have happened; "+
			"prepared data managers stay prepared", o.last, err)
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	p.inDoubt, p.exit = nil, nil // decided
	failpoint.Here("after decision")
	finished := true
	forAll(o.preparers, func(dm resource.Preparer) {
		failpoint.Here("before finish")
		err := recovered(func() error { return dm.Finish(ctx, t) })
		t.report(ctx, "data manager in doubt: it did not finish a committed transaction", dm, err)
		finished = finished && err == nil
		failpoint.Here("after finish")
	})
	recorder, ok := o.last.(resource.Recorder)
	if ok && finished && o.lastID != "" && len(o.preparers) > 0 {
		failpoint.Here("before forget")
		t.report(ctx, "data manager did not forget a decision", o.last,
			recovered(func() error { recorder.Forget(ctx, t); return nil }))
	}
	return nil
}

// order divides the managers of a commit by the part that they take in it.
type order struct {
	all       []resource.DataManager // readers, preparers, last
	readers   []resource.DataManager
	preparers []resource.Preparer
	last      resource.DataManager // nil if all only read
	lastID    string               // its RecorderID, if others prepare and it has one
}

// arrange sorts managers, at least one, into the order of the commit: by sort key, with those that
// only read first, and last the one that can't prepare or, if all can, one that records decisions.
// If it returns an error, only the field all of the order is set.
func arrange(managers []resource.DataManager) (order, error) {
	if len(managers) == 1 {
		return order{all: managers, last: managers[0]}, nil // correct for a read-only manager too
	}
	type ranked struct {
		resource.DataManager
		rank int
		key  string
		id   string
	}
	const reads, prepares, decides, onePhase = 0, 1, 2, 3
	var room [2]ranked // on the stack: more managers are rare
	list := room[:0]
	err := recovered(func() error {
		for _, dm := range managers {
			r := ranked{DataManager: dm, rank: onePhase, key: dm.SortKey()}
			if recorder, ok := dm.(resource.Recorder); ok {
				r.id = recorder.RecorderID()
			}
			if _, ok := dm.(resource.Preparer); ok {
				r.rank = prepares
				if r.id != "" {
					r.rank = decides
				}
			}
			if ro, ok := dm.(resource.ReadOnlyReporter); ok && ro.ReadOnly() {
				r.rank = reads
			}
			list = append(list, r)
		}
		return nil
	})
	if err != nil {
		return order{all: managers}, err
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.key, b.key))
	})
	o := order{all: make([]resource.DataManager, len(list))}
	for i, r := range list {
		o.all[i] = r.DataManager
		switch p, ok := r.DataManager.(resource.Preparer); {
		case r.rank == reads:
			o.readers = o.all[:i+1]
		case i == len(list)-1:
			o.last, o.lastID = r.DataManager, r.id
		case ok:
			o.preparers = append(o.preparers, p)
		default: // list[i+1] can't prepare either
			other := list[i+1]
			return order{all: managers}, fmt.Errorf("%w: %q (%T) and %q (%T); "+
				"leave one of them out, or use one that can prepare", ErrOnePhase,
				r.key, r.DataManager, other.key, other.DataManager)
		}
	}
	return o, nil
}

// isInDoubt reports whether the transaction may have been committed although the deciding Commit
// failed with err.
func isInDoubt(err error) bool {
	_, panicked := errors.AsType[*PanicError](err)
	return panicked || errors.Is(err, ErrInDoubt)
}

// leaveInDoubt tells the prepared managers that only recovery will settle their work.
func (t *Txn) leaveInDoubt(ctx context.Context, preparers []resource.Preparer) {
	forAll(preparers, func(dm resource.Preparer) {
		if leaver, ok := dm.(resource.Leaver); ok {
			t.report(ctx, "data manager in doubt did not release its resources", dm,
				recovered(func() error { leaver.Leave(ctx, t); return nil }))
		}
	})
}

// undo aborts the managers because of err, and returns err joined with the errors of the aborts,
// each of which it also passes to notify.
func (t *Txn) undo(ctx context.Context, managers []resource.DataManager, err error,
	notify func(resource.DataManager, error),
) error {
	failpoint.Here("before abort")
	if errs := t.abortManagers(ctx, managers, notify); errs != nil {
		return errors.Join(append([]error{err}, errs...)...)
	}
	return err
}

// notAborted returns a function that logs that a data manager did not abort.
func (t *Txn) notAborted(ctx context.Context) func(resource.DataManager, error) {
	return func(dm resource.DataManager, err error) {
		t.report(ctx, "data manager did not abort", dm, err)
	}
}

// abortManagers aborts all managers, and returns the errors of those that failed, each of which it
// also passes to notify.
func (t *Txn) abortManagers(ctx context.Context, managers []resource.DataManager,
	notify func(resource.DataManager, error),
) (errs []error) {
	forAll(managers, func(dm resource.DataManager) {
		if err := recovered(func() error { return dm.Abort(ctx, t) }); err != nil {
			notify(dm, err)
			errs = append(errs, err)
		}
	})
	return errs
}

// Abort drops the work of the transaction in all its data managers. It has to be called after a
// failed Commit too: the data managers are aborted by then and aren't called again, but hooks are,
// and t drops its references.
//
// Everything runs to its end under [context.WithoutCancel], with the values of ctx and this
// transaction, whatever fails in between. The error is [ErrEnded] if the transaction is over
// already, so that Abort can be deferred like the Rollback of database/sql; or it is the errors of
// synchronizers and data managers, joined with [errors.Join]; the transaction is aborted
// nonetheless.
func (t *Txn) Abort(ctx context.Context) (err error) {
	if err := t.startAbort(); err != nil {
		return err
	}
	ctx = t.detach(ctx)
	var errs []error
	defer t.finishEnd() // deferred, here and below: a callee may end the goroutine (runtime.Goexit)
	defer func() {
		each(ctx, t, afterAbort, "hook after abort panicked",
			func(f func(context.Context)) { f(ctx) })
		t.afterCompletion(ctx)
		err = errors.Join(errs...)
	}()
	defer func() {
		errs = append(errs,
			t.abortManagers(ctx, t.closeToAbort(), t.notAborted(ctx))...)
	}()
	t.noteConflict(ctx)
	each(ctx, t, beforeAbort, "hook before abort panicked",
		func(f func(context.Context)) { f(ctx) })
	forAll(t.synchronizers, func(s Synchronizer) {
		if err := recovered(func() error { return s.BeforeCompletion(t) }); err != nil {
			t.report(ctx, "synchronizer failed before an abort", nil, err)
			errs = append(errs, err)
		}
	})
	return nil
}

// closeToAbort waits for calls that hold t, and refuses later ones. It returns the data managers
// that have to be aborted.
func (t *Txn) closeToAbort() []resource.DataManager {
	t.held.Lock()
	defer t.held.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = Aborted
	if t.settled {
		return nil
	}
	return t.managers
}

func (t *Txn) startAbort() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ending:
		return fmt.Errorf("%w: cannot abort, its end has begun", ErrEnded)
	case t.status == Committed || t.status == Aborted:
		return fmt.Errorf("%w: cannot abort, it is %s", ErrEnded, t.status)
	}
	t.ending = true
	t.savepoints = nil // none is valid any more
	return nil
}
