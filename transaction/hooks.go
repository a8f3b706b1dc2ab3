package transaction

import "context"

// BeforeCommit calls f at the beginning of Commit, after those registered before it. Data managers can still join then,
// and more hooks be registered. When f returns an error or panics, Commit returns that, and the transaction is still
// active: what had run is done, what hadn't, f included, is left for another Commit.
func (t *Txn) BeforeCommit(f func(context.Context) error) { add(t, &t.beforeCommit, f) }

// AfterCommit calls f when the transaction has been committed, or has failed to. It is too late then to join or to
// change the outcome: a panic is logged, and the others still run. An abort without a commit doesn't call f. If
// committed is false because the outcome isn't known, Commit returns [ErrInDoubt].
func (t *Txn) AfterCommit(f func(ctx context.Context, committed bool)) { add(t, &t.afterCommit, f) }

// BeforeAbort calls f at the beginning of Abort. A panic is logged, and the abort goes on.
func (t *Txn) BeforeAbort(f func(context.Context)) { add(t, &t.beforeAbort, f) }

// AfterAbort calls f when the transaction has been aborted. A panic is logged, and the others still run.
func (t *Txn) AfterAbort(f func(context.Context)) { add(t, &t.afterAbort, f) }

// add registers a hook. Those of a transaction that is over would never be called, and are forgotten at once.
func add[F any](t *Txn, hooks *[]F, f F) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending || t.status != Committed && t.status != Aborted {
		*hooks = append(*hooks, f)
	}
}

// first returns the first of the hooks that are left.
func first[F any](t *Txn, hooks *[]F) (f F, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(*hooks) == 0 {
		return f, false
	}
	return (*hooks)[0], true
}

func dropFirst[F any](t *Txn, hooks *[]F) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*hooks = (*hooks)[1:]
}

// each calls every hook, also those that are registered meanwhile, whatever happens to others.
func each[F any](ctx context.Context, t *Txn, hooks *[]F, what string, call func(F)) {
	for {
		f, ok := first(t, hooks)
		if !ok {
			return
		}
		dropFirst(t, hooks)
		orElse(
			func() { t.report(ctx, what, nil, contain(func() error { call(f); return nil })) },
			func() { each(ctx, t, hooks, what, call) },
		)
	}
}
