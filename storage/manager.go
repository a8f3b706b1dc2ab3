package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction/resource"
)

// dataManager is the data manager of a Tx. Its transaction calls it with a context that is never
// cancelled.
type dataManager Tx

func newDataManager(tx *Tx) resource.DataManager {
	m := (*dataManager)(tx)
	if p, ok := tx.core.engine.(engine.Preparer); ok && p.CanPrepare() {
		return preparer{m}
	}
	return m
}

func (m *dataManager) SortKey() string { return m.core.sortKey }

func (m *dataManager) ReadOnly() bool { return (*Tx)(m).readOnly() }

// RecorderID returns "" if the engine records no decisions.
func (m *dataManager) RecorderID() string {
	if d, ok := m.core.engine.(engine.Recorder); ok {
		return d.RecorderID()
	}
	return ""
}

// Forget is only called if RecorderID is not empty.
func (m *dataManager) Forget(_ context.Context, t resource.Txn) {
	if d, ok := m.core.engine.(engine.Recorder); ok {
		d.Forget(t.ID())
	}
}

// IsTransient asks the engine, which may know errors of the app's direct use of it.
func (m *dataManager) IsTransient(err error) bool {
	reporter, ok := m.core.engine.(resource.TransientReporter)
	return ok && reporter.IsTransient(err)
}

// Conflict returns the transient error that was returned in the transaction, or the conflict that a
// commit would meet, if the engine can tell.
func (m *dataManager) Conflict(context.Context) error {
	tx := (*Tx)(m)
	if earlier := tx.transient.Load(); earlier != nil {
		return *earlier
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	v, ok := tx.view.(engine.Validator)
	if !ok || tx.ended {
		return nil
	}
	c := tx.changes()
	if c == nil {
		c = &engine.Changes{} // no writes here; but the app may have written directly
	}
	return tx.explain(v.Validate(c), c)
}

// Commit validates and applies in one step.
func (m *dataManager) Commit(ctx context.Context, t resource.Txn) error {
	tx := (*Tx)(m)
	view, c, err := tx.handOver()
	if view != nil && err == nil {
		if t.Prepared() {
			deciding := *c
			deciding.Decision = t.ID()
			c = &deciding
		}
		if tx.ticket != nil && len(c.Writes) == 0 {
			tx.ticket.release()
		}
		err = tx.explain(view.Commit(ctx, c), c)
	}
	tx.end()
	if err == nil && tx.ticket != nil {
		tx.ticket.release() // no effect if it was released when the commit was accepted
		runtime.Gosched()
	}
	return err
}

// releaseTicket lets the next transaction in the queue start as soon as this commit is visible or,
// with a speculative engine, accepted: well before the response is sent. This bounds the throughput
// on a contended key.
func (tx *Tx) releaseTicket() {
	tx.discharge()
	tx.ticket.release()
}

// Abort drops the writes and the view. It is also called after a Commit or Prepare that failed, and
// for prepared work that is given up. After a rollback to a savepoint made before the first use it
// drops only the writes: the reads may be the reason for the rollback, and still have to be
// validated.
func (m *dataManager) Abort(ctx context.Context, t resource.Txn) error {
	tx := (*Tx)(m)
	if t.Usable() {
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
	err := errors.Join(tx.awaitReads(ctx), tx.abandon(ctx))
	tx.end()
	return err
}

// abandon drops the app's direct writes.
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

// awaitReads waits until everything that a speculative view has read is durable, or returns an
// error. Without it an aborted transaction could report state that was never committed. It does
// nothing after a commit.
func (tx *Tx) awaitReads(ctx context.Context) error {
	tx.mu.Lock()
	view := tx.view
	tx.ended = true
	tx.mu.Unlock()
	if _, ok := tx.core.engine.(engine.Speculative); !ok || view == nil {
		return nil
	}
	if a, ok := view.(engine.Awaiter); ok {
		return tx.explain(a.Await(ctx), &nothing)
	}
	if tx.ticket != nil {
		tx.ticket.release()
	}
	return tx.explain(view.Commit(ctx, &nothing), &nothing)
}

// nothing is the changes of a transaction that only read. It is never modified.
var nothing engine.Changes

// handOver ends the use of tx and returns the view and changes for the engine; the view is nil if
// nothing was read or written. A transient error that the app has ignored is returned again: work
// that was based on it must not be kept.
func (tx *Tx) handOver() (engine.View, *engine.Changes, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if earlier := tx.transient.Load(); earlier != nil {
		tx.ended = true
		return nil, &nothing, *earlier
	}
	c := tx.changes()
	tx.ended = true
	if c == nil {
		return tx.view, &nothing, nil // the view, if any, knows about direct writes
	}
	if e := tx.core.queue.admit(&tx.writing.admission, c.Writes, tx.ticket); e != nil {
		return nil, c, tx.explain(e, c)
	}
	view, err := tx.open()
	return view, c, err
}

// preparer is the data manager of an engine that can prepare.
type preparer struct{ *dataManager }

func (p preparer) Prepare(ctx context.Context, t resource.Txn) error {
	tx := (*Tx)(p.dataManager)
	view, c, err := tx.handOver()
	if view == nil || err != nil {
		return err
	}
	pv, ok := view.(engine.PreparingView)
	if !ok {
		return fmt.Errorf("storage: %s: the engine said that it can prepare, but its view can't",
			tx.core.name)
	}
	return tx.explain(pv.Prepare(ctx, t, c), c)
}

func (p preparer) Finish(ctx context.Context, _ resource.Txn) error {
	tx := (*Tx)(p.dataManager)
	var err error
	if pv, ok := tx.view.(engine.PreparingView); ok {
		err = tx.named(pv.Finish(ctx))
	}
	tx.end()
	return err
}

// Leave releases everything but the prepared work.
func (p preparer) Leave(context.Context, resource.Txn) {
	tx := (*Tx)(p.dataManager)
	if pv, ok := tx.view.(engine.PreparingView); ok {
		pv.Leave()
	}
	tx.mu.Lock()
	tx.view = nil // Leave has closed it
	tx.mu.Unlock()
	tx.end()
}

// Savepoint copies the state of the writes. Reads stay recorded after a rollback, because they may
// be the reason for it.
func (m *dataManager) Savepoint() (resource.Savepoint, error) {
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
	case tx.view == nil: // a rollback drops all direct writes of a view that is made later
		undo = func() error {
			if side, ok := tx.view.(engine.SideView); ok {
				return side.Undo()
			}
			return nil
		}
	}
	s := &savepoint{
		tx: tx, undo: undo,
		writes: make(map[*bucketData]*btree.Map[string, []byte], len(tx.buckets)),
	}
	for _, b := range tx.buckets {
		if b.writes != nil {
			s.writes[b] = b.writes.Copy() // copy on write: cheap until one of the two changes
		}
	}
	return s, nil
}

type savepoint struct {
	tx     *Tx
	undo   func() error // rolls back the app's direct writes
	writes map[*bucketData]*btree.Map[string, []byte]
}

// Rollback restores copies, because it may be called more than once.
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
