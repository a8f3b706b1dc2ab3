package transaction

import "context"

// hooks are the hooks of one transaction, in the order of their registration.
type hooks struct {
	beforeCommit []func(context.Context) error
	afterCommit  []func(context.Context, bool)
	beforeAbort  []func(context.Context)
	afterAbort   []func(context.Context)
}

func beforeCommit(h *hooks) *[]func(context.Context) error { return &h.beforeCommit }
func afterCommit(h *hooks) *[]func(context.Context, bool)  { return &h.afterCommit }
func beforeAbort(h *hooks) *[]func(context.Context)        { return &h.beforeAbort }
func afterAbort(h *hooks) *[]func(context.Context)         { return &h.afterAbort }

// BeforeCommit registers f to be called at the beginning of Commit, after the hooks registered
// before it. Data managers can still join then, and more hooks be registered. When f returns an
// error or panics, Commit returns that error, and the transaction is still active: the hooks that
// succeeded are done, f and those after it are left for another Commit.
func (t *Txn) BeforeCommit(f func(context.Context) error) { add(t, beforeCommit, f) }

// AfterCommit registers f to be called when the transaction has been committed or has failed to. It
// is too late then to join or to change the outcome: a panic is logged, and the other hooks still
// run. An abort without a commit doesn't call f. If committed is false because the outcome isn't
// known, Commit returns [ErrInDoubt].
func (t *Txn) AfterCommit(f func(ctx context.Context, committed bool)) { add(t, afterCommit, f) }

// BeforeAbort registers f to be called at the beginning of Abort. A panic is logged, and the abort
// continues.
func (t *Txn) BeforeAbort(f func(context.Context)) { add(t, beforeAbort, f) }

// AfterAbort registers f to be called when the transaction has been aborted. A panic is logged, and
// the other hooks still run.
func (t *Txn) AfterAbort(f func(context.Context)) { add(t, afterAbort, f) }

// add registers a hook. If the transaction is over, the hook would never be called, and is dropped.
func add[F any](t *Txn, kind func(*hooks) *[]F, f F) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		return
	}
	if t.hooks == nil {
		t.hooks = new(hooks)
	}
	list := kind(t.hooks)
	*list = append(*list, f)
}

// first returns the first hook that has not been called.
func first[F any](t *Txn, kind func(*hooks) *[]F) (f F, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hooks == nil {
		return f, false
	}
	list := *kind(t.hooks)
	if len(list) == 0 {
		return f, false
	}
	return list[0], true
}

func dropFirst[F any](t *Txn, kind func(*hooks) *[]F) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := kind(t.hooks)
	*list = (*list)[1:]
}

// each calls every hook, including those registered meanwhile, even if one panics or ends the
// goroutine.
func each[F any](ctx context.Context, t *Txn, kind func(*hooks) *[]F, what string, call func(F)) {
	for {
		f, ok := first(t, kind)
		if !ok {
			return
		}
		dropFirst(t, kind)
		orElse(
			func() { t.report(ctx, what, nil, recovered(func() error { call(f); return nil })) },
			func() { each(ctx, t, kind, what, call) },
		)
	}
}

// AfterCommit calls f when the transaction of ctx has been committed, after the functions
// registered before it: for effects that belong to committed work only, such as a mail. It is not
// called if the commit fails, nor if the process ends in between. f gets a context that is never
// cancelled; the transaction in it is over. A panic is logged. The error is [ErrNoTransaction] or
// [ErrEnded].
//
// A function that has to run however the transaction ends, for example to free something, is
// registered here and with [OnAbort]: exactly one of the two calls it.
func AfterCommit(ctx context.Context, f func(ctx context.Context)) error {
	t, err := active(ctx)
	if err != nil {
		return err
	}
	t.AfterCommit(func(ctx context.Context, committed bool) {
		if committed {
			f(ctx)
		}
	})
	return nil
}

// OnAbort calls f when the transaction of ctx has been aborted, also because its commit failed:
// once for each attempt at a request that is run again. The rest is as for [AfterCommit].
func OnAbort(ctx context.Context, f func(ctx context.Context)) error {
	t, err := active(ctx)
	if err != nil {
		return err
	}
	t.AfterAbort(f)
	return nil
}

// active returns the transaction of ctx, or an error if there is none or it is over.
func active(ctx context.Context) (*Txn, error) {
	t, ok := FromContext(ctx)
	if !ok {
		return nil, ErrNoTransaction
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		return nil, ErrEnded
	}
	return t, nil
}
