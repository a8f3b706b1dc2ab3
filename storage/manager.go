package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// dataManager is a Tx as its transaction sees it, which calls it with a context that is never cancelled.
type dataManager Tx

func newDataManager(tx *Tx) transaction.DataManager {
	m := (*dataManager)(tx)
	if p, ok := tx.core.engine.(engine.Preparer); ok && p.CanPrepare() {
		return preparer{m}
	}
	return m
}

func (m *dataManager) SortKey() string { return m.core.sortKey }

func (m *dataManager) ReadOnly() bool { return (*Tx)(m).readOnly() }

// DeciderID is empty if the engine records no decisions.
func (m *dataManager) DeciderID() string {
	if d, ok := m.core.engine.(engine.Recorder); ok {
		return d.DeciderID()
	}
	return ""
}

// Forget is called only if there is a DeciderID.
func (m *dataManager) Forget(_ context.Context, t *transaction.Txn) {
	if d, ok := m.core.engine.(engine.Recorder); ok {
		d.Forget(t.ID())
	}
}

// IsTransient asks the engine, about errors of the app's own work with it.
func (m *dataManager) IsTransient(err error) bool {
	judge, ok := m.core.engine.(transaction.TransientJudge)
	return ok && judge.IsTransient(err)
}

// Conflict returns the conflict that the transaction was told of, or would be by a commit, if the engine can tell.
func (m *dataManager) Conflict(context.Context) error {
	tx := (*Tx)(m)
	if told := tx.told.Load(); told != nil {
		return *told
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	v, ok := tx.view.(engine.Validator)
	if !ok || tx.ended {
		return nil
	}
	c := tx.changes()
	if c == nil {
		c = &engine.Changes{} // which only read; but it may have been written to beside
	}
	return tx.explain(v.Validate(c), c)
}

// Commit validates and applies in one step.
func (m *dataManager) Commit(ctx context.Context, t *transaction.Txn) error {
	tx := (*Tx)(m)
	view, c, err := tx.handOver()
	if view != nil && err == nil {
		if t.Prepared() {
			deciding := *c
			deciding.Decision = t.ID()
			c = &deciding
		}
		if tx.turn != nil && len(c.Writes) == 0 {
			tx.turn.pass()
		}
		err = tx.explain(view.Commit(ctx, c), c)
	}
	tx.end()
	if err == nil && tx.turn != nil {
		tx.turn.pass() // unless that is done already
		runtime.Gosched()
	}
	return err
}

// passTurn lets the next one go on as soon as what this one commits can be seen: not when the response has left, nor, if the
// engine begins transactions early, when it is on the disk. Many who want one key are as fast as this is early.
func (tx *Tx) passTurn() {
	tx.discharge()
	tx.turn.pass()
}

// Abort drops everything. It comes also after a Commit or Prepare that failed, and after a Prepare that was given up.
// After a rollback to before the first use only the writes go: what was read may be why, and has to be validated still.
func (m *dataManager) Abort(ctx context.Context, t *transaction.Txn) error {
	tx := (*Tx)(m)
	if status := t.Status(); status == transaction.Active || status == transaction.Doomed {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		for _, b := range tx.buckets {
			b.writes = nil
		}
		if side, ok := tx.view.(engine.SideView); ok {
			if err := side.Undo(); err != nil {
				return tx.named(err)
			}
		}
		return t.Join(newDataManager(tx))
	}
	err := errors.Join(tx.settle(ctx), tx.abandon(ctx))
	tx.end()
	return err
}

// abandon drops what was written beside.
func (tx *Tx) abandon(ctx context.Context) error {
	tx.mu.Lock()
	side, ok := tx.view.(engine.SideView)
	tx.ended = true
	tx.mu.Unlock()
	if !ok {
		return nil
	}
	return tx.named(side.Abandon(ctx))
}

// settle makes sure, if the engine shows what may fail yet, that what was read was kept: the transaction may have been given up
// for its sake, and the client is told. There is nothing to settle after a commit.
func (tx *Tx) settle(ctx context.Context) error {
	tx.mu.Lock()
	view := tx.view
	tx.ended = true
	tx.mu.Unlock()
	if _, ok := tx.core.engine.(engine.Speculative); !ok || view == nil {
		return nil
	}
	if tx.turn != nil {
		tx.turn.pass()
	}
	return tx.explain(view.Commit(ctx, &nothing), &nothing)
}

// nothing is what a transaction has done that only read. It is never changed.
var nothing engine.Changes

// handOver closes the transaction to its user and returns what the engine needs; the view is nil if nothing was read or written.
// A transient error that the user has passed over comes back: whatever was made of it is not to be kept.
func (tx *Tx) handOver() (engine.View, *engine.Changes, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if told := tx.told.Load(); told != nil {
		tx.ended = true
		return nil, &nothing, *told
	}
	c := tx.changes()
	tx.ended = true
	if c == nil {
		return tx.view, &nothing, nil // the view, if there is one, knows whether it was written to beside
	}
	if e := tx.core.turns.admit(&tx.writing.admission, c.Writes, tx.turn); e != nil {
		return nil, c, tx.explain(e, c)
	}
	view, err := tx.open()
	return view, c, err
}

// preparer is the data manager of an engine that can prepare.
type preparer struct{ *dataManager }

func (p preparer) Prepare(ctx context.Context, t *transaction.Txn) error {
	tx := (*Tx)(p.dataManager)
	view, c, err := tx.handOver()
	if view == nil || err != nil {
		return err
	}
	pv, ok := view.(engine.PreparingView)
	if !ok {
		return fmt.Errorf("storage: %s: the engine said that it can prepare, but its view can't", tx.core.name)
	}
	return tx.explain(pv.Prepare(ctx, t, c), c)
}

func (p preparer) Finish(ctx context.Context, _ *transaction.Txn) error {
	tx := (*Tx)(p.dataManager)
	var err error
	if pv, ok := tx.view.(engine.PreparingView); ok {
		err = tx.named(pv.Finish(ctx))
	}
	tx.end()
	return err
}

// Leave lets go of all but what was prepared.
func (p preparer) Leave(context.Context, *transaction.Txn) {
	tx := (*Tx)(p.dataManager)
	if pv, ok := tx.view.(engine.PreparingView); ok {
		pv.Leave()
	}
	tx.mu.Lock()
	tx.view = nil // nobody closes it any more
	tx.mu.Unlock()
	tx.end()
}

// Savepoint remembers what has been written. What has been read stays read: it may be why the transaction was rolled back.
func (m *dataManager) Savepoint() (transaction.DataSavepoint, error) {
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return nil, err
	}
	undo := func() error { return nil }
	switch side, ok := tx.view.(engine.SideView); {
	case ok:
		var err error
		if undo, err = side.Savepoint(); err != nil {
			return nil, tx.named(err)
		}
	case tx.view == nil: // if there is one later, all that will have been written beside is to go
		undo = func() error {
			if side, ok := tx.view.(engine.SideView); ok {
				return side.Undo()
			}
			return nil
		}
	}
	s := &savepoint{tx: tx, undo: undo, writes: make(map[*bucketData]*btree.Map[string, []byte], len(tx.buckets))}
	for _, b := range tx.buckets {
		if b.writes != nil {
			s.writes[b] = b.writes.Copy() // costs nothing until one of the two is written to
		}
	}
	return s, nil
}

type savepoint struct {
	tx     *Tx
	undo   func() error // what was written beside
	writes map[*bucketData]*btree.Map[string, []byte]
}

// Rollback may be called more than once, so it gives away copies.
func (s *savepoint) Rollback() error {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if err := s.tx.errEnded(); err != nil {
		return err
	}
	for _, b := range s.tx.buckets {
		if writes := s.writes[b]; writes != nil {
			b.writes = writes.Copy()
		} else {
			b.writes = nil
		}
	}
	return s.tx.named(s.undo())
}
