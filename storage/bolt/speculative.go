package bolt

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// A layer is the writes of a group that has not ended, as a speculative view shows them: on top of
// the snapshot, and of the layers of earlier groups.
type layer struct {
	group  *group
	writes *btree.BTreeG[engine.Write] // never changed
	read   bool                        // the view has read some of the writes
}

// BeginSpeculative takes a snapshot that includes the accepted commits: the writes of the running
// and of the gathering group.
func (e *database) BeginSpeculative(context.Context) (engine.View, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	for {
		v, before, err := e.snapshot()
		if err != nil {
			e.views.Done()
			return nil, err
		}
		ok, wait := e.queue.show(v, before)
		if ok {
			return v, nil
		}
		v.endSnapshot()
		v.release()
		if wait != nil {
			<-wait
		}
	}
}

// show adds layers to v; before is what bbolt showed when v began. It fails if a group has ended
// since, because the snapshot may lack it, or if a commit of a group has failed: then wait is
// closed when that group has ended.
func (q *queue) show(v *view, before *shown) (ok bool, wait <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shown.Load() != before {
		return false, nil
	}
	groups := [...]*group{q.gathering, q.running}
	for _, g := range groups {
		if g != nil && g.failed {
			return false, g.decided()
		}
	}
	v.seen = q.last
	for _, g := range groups {
		if g != nil {
			v.layers = append(v.layers, layer{group: g, writes: g.snapshot(g == q.gathering)})
		}
	}
	return true, nil
}

// snapshot returns the current writes of g; grows says that g may get more.
func (g *group) snapshot(grows bool) *btree.BTreeG[engine.Write] {
	if g.writes == nil {
		g.writes = btree.NewBTreeGOptions(precedes, btree.Options{NoLocks: true})
		for _, r := range g.requests {
			setAll(g.writes, r)
		}
	}
	if grows {
		return g.writes.Copy() // copy on write, so cheap
	}
	return g.writes
}

func setAll(set *btree.BTreeG[engine.Write], r *request) {
	for _, w := range r.changes.Writes {
		set.Set(w)
	}
}

func precedes(a, b engine.Write) bool {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key)) < 0
}

// readFailed reports whether v has read a write that failed. It is called with the queue locked.
func (v *view) readFailed() bool {
	return slices.ContainsFunc(v.layers, func(l layer) bool { return l.read && l.group.failed })
}

// settle returns when everything that v has read is on the disk, or returns an error if it was not
// committed.
func (v *view) settle() error {
	q := &v.engine.queue
	for i := range v.layers {
		if v.layers[i].read {
			<-q.decided(v.layers[i].group)
		}
	}
	q.mu.Lock()
	readFailed := v.readFailed()
	q.mu.Unlock()
	if readFailed {
		if broken := v.engine.broken.Load(); broken != nil {
			return *broken
		}
		return errReadFailed
	}
	return v.engine.awaitSync(v.seq)
}

// written returns the value of a key in the newest layer that has it.
func (v *view) written(name string, key []byte) (value []byte, ok bool) {
	for i := range v.layers {
		l := &v.layers[i]
		if w, ok := l.writes.Get(engine.Write{Bucket: name, Key: string(key)}); ok {
			l.read = true
			return cloneValue(w.Value), true
		}
	}
	return nil, false
}

// cloneValue keeps the difference between an empty value and nil, which means deleted.
func cloneValue(value []byte) []byte {
	if value == nil {
		return nil
	}
	return append(make([]byte, 0, len(value)), value...)
}

// writtenIn returns the layers' writes in a range, in its direction.
func (v *view) writtenIn(name string, r storage.Range) (writes []engine.Write) {
	for i := len(v.layers) - 1; i >= 0; i-- { // the oldest first
		l := &v.layers[i]
		l.writes.Ascend(engine.Write{Bucket: name, Key: string(r.From)}, func(w engine.Write) bool {
			if w.Bucket != name || r.To != nil && w.Key >= string(r.To) {
				return false
			}
			l.read = true
			writes = append(writes, w)
			return true
		})
	}
	writes = inOrder(writes)
	if r.Reverse {
		slices.Reverse(writes)
	}
	return writes
}

// merged iterates over a range of the snapshot with writes, which are in the range's direction, on
// top.
func (v *view) merged(name string, r storage.Range,
	writes []engine.Write,
) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		writes := writes
		give := func(w engine.Write) bool {
			return w.Value == nil ||
				yield(storage.Item{Key: []byte(w.Key), Value: cloneValue(w.Value)}, nil)
		}
		for item, err := range v.stored(name, r) {
			if err != nil {
				yield(storage.Item{}, err)
				return
			}
			replaced := false
			for len(writes) > 0 && !replaced {
				order := cmp.Compare(writes[0].Key, string(item.Key))
				if r.Reverse {
					order = -order
				}
				if order > 0 {
					break
				}
				replaced = order == 0
				if !give(writes[0]) {
					return
				}
				writes = writes[1:]
			}
			if !replaced && !yield(item, nil) {
				return
			}
		}
		for _, w := range writes {
			if !give(w) {
				return
			}
		}
	}
}
