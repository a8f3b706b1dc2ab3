package bolt

import (
	"bytes"
	"context"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

// A view is a read transaction of bbolt.
type view struct {
	engine   *engine
	snapshot occ.Snapshot
	tx       *bbolt.Tx // nil: closed
	seq      uint64    // the commit that it shows
	buckets  []namedBucket
	released bool // of the history
	closed   bool
}

// namedBucket is one that was looked up already: bbolt searches for it anew, and a transaction uses few.
type namedBucket struct {
	name   string
	bucket *bbolt.Bucket // nil: there is none
}

// bucket is called under guard.
func (v *view) bucket(name string) *bbolt.Bucket {
	for _, b := range v.buckets {
		if b.name == name {
			return b.bucket
		}
	}
	b := v.tx.Bucket([]byte(name))
	if len(v.buckets) < 8 {
		v.buckets = append(v.buckets, namedBucket{name, b})
	}
	return b
}

func (v *view) Get(name string, key []byte) (value []byte, err error) {
	defer guard(protect(), &err)
	if b := v.bucket(name); b != nil {
		value = bytes.Clone(b.Get(key)) // under guard, too: it may lie on pages of its own
	}
	return value, nil
}

func (v *view) Range(name string, r storage.Range) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		c := cursor{view: v, r: r}
		item, err := c.first(name)
		for err == nil && item.Key != nil {
			if !yield(item, nil) {
				return
			}
			item, err = c.next()
		}
		if err != nil {
			yield(storage.Item{}, err)
		}
	}
}

// A cursor goes through a range. Each step is guarded by itself: between them the user's code runs.
type cursor struct {
	view *view
	r    storage.Range
	c    *bbolt.Cursor
}

func (c *cursor) first(name string) (item storage.Item, err error) {
	defer guard(protect(), &err)
	b := c.view.bucket(name)
	if b == nil {
		return storage.Item{}, nil
	}
	c.c = b.Cursor()
	switch {
	case !c.r.Reverse:
		return c.inside(c.c.Seek(c.r.From)), nil
	case c.r.To == nil:
		return c.inside(c.c.Last()), nil
	}
	if key, _ := c.c.Seek(c.r.To); key == nil { // all keys are before To
		return c.inside(c.c.Last()), nil
	}
	return c.inside(c.c.Prev()), nil
}

func (c *cursor) next() (item storage.Item, err error) {
	defer guard(protect(), &err)
	if c.r.Reverse {
		return c.inside(c.c.Prev()), nil
	}
	return c.inside(c.c.Next()), nil
}

// inside returns copies, in one allocation, or no item if key is beyond the range.
func (c *cursor) inside(key, value []byte) storage.Item {
	if key == nil || c.r.Reverse && bytes.Compare(key, c.r.From) < 0 ||
		!c.r.Reverse && c.r.To != nil && bytes.Compare(key, c.r.To) >= 0 {
		return storage.Item{}
	}
	n := len(key)
	both := append(append(make([]byte, 0, n+len(value)), key...), value...)
	return storage.Item{Key: both[:n:n], Value: both[n:]}
}

func (v *view) Commit(_ context.Context, c *storage.Changes) error {
	// bbolt can't enlarge its memory map while a reader is open: a reader that waited for the writer would wait for ever.
	v.endSnapshot()
	defer v.Close()
	if len(c.Writes) == 0 {
		return v.engine.awaitSync(v.seq)
	}
	return v.engine.commit(&request{changes: c, view: v})
}

// Close lets go of the history, too, which the validation needs.
func (v *view) Close() {
	if v.closed {
		return
	}
	v.closed = true
	v.endSnapshot()
	v.release()
	v.engine.views.Done()
}

// release is called by the leader of the group, as soon as it has validated: what nobody needs is not even remembered.
func (v *view) release() {
	if !v.released {
		v.released = true
		v.engine.history.Close(v.snapshot)
	}
}

func (v *view) endSnapshot() {
	if v.tx != nil {
		_ = v.tx.Rollback() // only fails if done already
		v.tx, v.buckets = nil, nil
	}
}
