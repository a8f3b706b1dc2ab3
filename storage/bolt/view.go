package bolt

import (
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

// A view is one transaction's snapshot: a read transaction of bbolt and, if the view is
// speculative, overlays with the writes of commits that are not in the file yet.
type view struct {
	engine     *database
	reader     *reader      // nil: closed
	txID       uint64       // of the bbolt transaction
	lastCommit uint64       // the number of the last commit that the view shows
	overlays   []overlay    // newest first
	history    occ.Snapshot // keeps the commits after lastCommit in the history
	released   bool         // history is closed
	closed     bool
}

// Begin takes a snapshot.
func (e *database) Begin(context.Context) (engine.View, error) {
	if err := e.acquire(); err != nil {
		return nil, err
	}
	v, _, err := e.newView()
	if err != nil {
		e.release()
		return nil, err
	}
	return v, nil
}

// newView opens a view. It shows the commits of before, the visibility when newView was called, or
// more.
func (e *database) newView() (v *view, before *visibility, err error) {
	history := e.history.Open()
	before = e.queue.visible.Load()
	r, err := e.newestReader()
	if err != nil {
		e.history.Close(history)
		return nil, nil, err
	}
	id := txID(r.tx)
	return &view{
		engine: e, reader: r, txID: id, lastCommit: before.upTo(id), history: history,
	}, before, nil
}

func (v *view) Get(name string, key []byte) (value []byte, err error) {
	if value, ok := v.overlaidValue(name, key); ok {
		return value, nil
	}
	defer guard(protect(), &err)
	if b := v.reader.bucket(name); b.bucket != nil {
		if found, stored := b.cursor.Seek(key); bytes.Equal(found, key) {
			value = bytes.Clone(stored) // under guard: the value may lie on pages of its own
		}
	}
	return value, nil
}

func (v *view) Range(name string, r storage.Range) iter.Seq2[storage.Item, error] {
	if writes := v.overlaidWrites(name, r); len(writes) > 0 {
		return v.merged(name, r, writes)
	}
	return v.stored(name, r)
}

// List returns a whole range.
func (v *view) List(name string, r storage.Range) (items []storage.Item, err error) {
	writes := v.overlaidWrites(name, r)
	if len(writes) == 0 {
		return v.listStored(name, r)
	}
	for item, err := range v.merged(name, r, writes) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// Validate returns the conflict that Commit would meet, and changes nothing.
func (v *view) Validate(c *engine.Changes) error {
	v.engine.queue.mu.Lock()
	defer v.engine.queue.mu.Unlock()
	if v.dependencyFailed() {
		return errDependencyFailed
	}
	if len(c.Writes) == 0 || v.released {
		return nil
	}
	if conflict := v.engine.history.Validate(c, v.lastCommit); conflict != nil {
		return conflict
	}
	return nil
}

// Commit ends the snapshot first. bbolt can't enlarge its memory map while a reader is open: a
// reader that waited for the writer would deadlock.
func (v *view) Commit(ctx context.Context, c *engine.Changes) error {
	v.closeReader()
	defer v.Close()
	if len(c.Writes) == 0 {
		return v.engine.awaitReads(v)
	}
	r := &request{changes: c, view: v}
	if c.By == "" { // without listeners
		return v.engine.commit(r)
	}
	start := time.Now()
	err := v.engine.commit(r)
	if g := r.group; err == nil && g != nil {
		observe.FromContext(ctx).Grouped(ctx, observe.Group{
			Size: g.size, Wait: g.began.Sub(start), Write: g.took,
		})
	}
	return err
}

// Close ends the snapshot.
func (v *view) Close() {
	if v.closed {
		return
	}
	v.closed = true
	v.closeReader()
	v.releaseHistory()
	v.engine.release()
}

func (v *view) closeReader() {
	if v.reader != nil {
		v.engine.releaseReader(v.reader)
		v.reader = nil
	}
}

// releaseHistory is called as soon as the transaction is validated, so that the history can forget
// commits that no other view needs.
func (v *view) releaseHistory() {
	if !v.released {
		v.released = true
		v.engine.history.Close(v.history)
	}
}
