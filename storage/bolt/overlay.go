package bolt

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// An overlay is the writes of a group that had not ended when a speculative view began. The view
// shows them on top of its snapshot and of the overlays of earlier groups. Once the view has read
// one of the writes, its transaction depends on the group's commit.
type overlay struct {
	group  *group
	writes *btree.BTreeG[engine.Write] // never changed
	read   bool                        // the view has read some of the writes
}

// BeginSpeculative takes a snapshot that includes the accepted commits: the writes of the running
// and of the gathering group.
func (e *database) BeginSpeculative(context.Context, []engine.ReadRange) (engine.View, error) {
	if err := e.acquire(); err != nil {
		return nil, err
	}
	for {
		v, before, err := e.newView()
		if err != nil {
			e.release()
			return nil, err
		}
		ok, wait := e.queue.addOverlays(v, before)
		if ok {
			return v, nil
		}
		v.closeReader()
		v.releaseHistory()
		if wait != nil {
			<-wait
		}
	}
}

// addOverlays adds the accepted commits to v; before is the visibility when v began. It fails if a
// group has ended since, because the snapshot may lack its writes, or if a commit of a group has
// failed: then wait is closed when that group has ended.
func (q *commitQueue) addOverlays(v *view, before *visibility) (ok bool, wait <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.visible.Load() != before {
		return false, nil
	}
	groups := [...]*group{q.gathering, q.running}
	for _, g := range groups {
		if g != nil && g.failed {
			return false, g.done()
		}
	}
	v.lastCommit = q.last
	for _, g := range groups {
		if g != nil {
			v.overlays = append(v.overlays,
				overlay{group: g, writes: g.currentWrites(g == q.gathering)})
		}
	}
	return true, nil
}

// currentWrites returns the writes of g so far; grows says that g may get more.
func (g *group) currentWrites(grows bool) *btree.BTreeG[engine.Write] {
	if g.writes == nil {
		g.writes = btree.NewBTreeGOptions(precedes, btree.Options{NoLocks: true})
		for _, r := range g.members {
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

func precedes(a, b engine.Write) bool { return compareKeys(a, b) < 0 }

func compareKeys(a, b engine.Write) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
}

// lastWrites sorts writes by bucket and key, in place. Of several writes of one key it keeps the
// last.
func lastWrites(writes []engine.Write) []engine.Write {
	slices.SortStableFunc(writes, compareKeys)
	n := 0
	for i, w := range writes {
		if i+1 == len(writes) || w.Bucket != writes[i+1].Bucket || w.Key != writes[i+1].Key {
			writes[n] = w
			n++
		}
	}
	return writes[:n]
}

// dependencyFailed reports whether v has read a write that failed. It is called with the queue
// locked.
func (v *view) dependencyFailed() bool {
	return slices.ContainsFunc(v.overlays, func(o overlay) bool { return o.read && o.group.failed })
}

// overlaidValue returns the value of a key in the newest overlay that has it.
func (v *view) overlaidValue(name string, key []byte) (value []byte, ok bool) {
	for i := range v.overlays {
		o := &v.overlays[i]
		if w, ok := o.writes.Get(engine.Write{Bucket: name, Key: string(key)}); ok {
			o.read = true
			return bytes.Clone(w.Value), true // a nil value, which means deleted, stays nil
		}
	}
	return nil, false
}

// overlaidWrites returns the overlays' writes in a range, in its direction.
func (v *view) overlaidWrites(name string, r storage.Range) (writes []engine.Write) {
	for i := len(v.overlays) - 1; i >= 0; i-- { // the oldest first
		o := &v.overlays[i]
		o.writes.Ascend(engine.Write{Bucket: name, Key: string(r.From)}, func(w engine.Write) bool {
			if w.Bucket != name || r.To != nil && w.Key >= string(r.To) {
				return false
			}
			o.read = true
			writes = append(writes, w)
			return true
		})
	}
	writes = lastWrites(writes)
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
		yieldWrite := func(w engine.Write) bool {
			return w.Value == nil ||
				yield(storage.Item{Key: []byte(w.Key), Value: bytes.Clone(w.Value)}, nil)
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
				if !yieldWrite(writes[0]) {
					return
				}
				writes = writes[1:]
			}
			if !replaced && !yield(item, nil) {
				return
			}
		}
		for _, w := range writes {
			if !yieldWrite(w) {
				return
			}
		}
	}
}
