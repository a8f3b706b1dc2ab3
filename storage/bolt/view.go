package bolt

import (
	"bytes"
	"context"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

// A view is a read transaction of bbolt, with the layers of a speculative view on top.
type view struct {
	engine   *database
	snapshot occ.Snapshot
	reader   *reader // nil: closed
	seq      uint64  // the id of the bbolt transaction
	seen     uint64  // the last commit that the view shows
	layers   []layer // newest first; none unless the view is speculative
	released bool    // its history reference
	closed   bool
}

func (v *view) Get(name string, key []byte) (value []byte, err error) {
	if value, ok := v.written(name, key); ok {
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
	if writes := v.writtenIn(name, r); len(writes) > 0 {
		return v.merged(name, r, writes)
	}
	return v.stored(name, r)
}

// stored returns the items of a range in bbolt's snapshot, without the layers.
func (v *view) stored(name string, r storage.Range) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		c := cursor{r: r}
		item, err := c.first(v, name)
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

// List returns a whole range.
func (v *view) List(name string, r storage.Range) (items []storage.Item, err error) {
	writes := v.writtenIn(name, r)
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

// listStored lists a range under one guard, and copies all keys and values into one block, which
// saves allocations.
func (v *view) listStored(name string, r storage.Range) (items []storage.Item, err error) {
	defer guard(protect(), &err)
	b := v.reader.bucket(name)
	if b.bucket == nil {
		return nil, nil
	}
	c := cursor{r: r, c: b.cursor}
	var few [8]storage.Item
	found, size := few[:0], 0 // in the memory map
	for key, value := c.seek(); c.inside(key); key, value = c.step() {
		found = append(found, storage.Item{Key: key, Value: value})
		size += len(key) + len(value)
	}
	if len(found) == 0 {
		return nil, nil
	}
	items = make([]storage.Item, len(found))
	block := make([]byte, 0, size)
	for i, item := range found {
		items[i], block = copyItem(item.Key, item.Value, block)
	}
	return items, nil
}

// A cursor iterates over a range. Each step has a guard of its own, because the user's code runs
// between them.
type cursor struct {
	r storage.Range
	c *bbolt.Cursor
}

func (c *cursor) first(v *view, name string) (item storage.Item, err error) {
	defer guard(protect(), &err)
	b := v.reader.bucket(name).bucket
	if b == nil {
		return storage.Item{}, nil
	}
	c.c = b.Cursor()
	return c.item(c.seek()), nil
}

func (c *cursor) next() (item storage.Item, err error) {
	defer guard(protect(), &err)
	return c.item(c.step()), nil
}

// seek returns the first key of the bucket, in the range's direction, that may be in the range, and
// its value. It is called under guard.
func (c *cursor) seek() (key, value []byte) {
	switch {
	case !c.r.Reverse:
		return c.c.Seek(c.r.From)
	case c.r.To == nil:
		return c.c.Last()
	}
	if key, _ := c.c.Seek(c.r.To); key == nil { // all keys are before To
		return c.c.Last()
	}
	return c.c.Prev()
}

// step is called under guard.
func (c *cursor) step() (key, value []byte) {
	if c.r.Reverse {
		return c.c.Prev()
	}
	return c.c.Next()
}

// inside reports whether key exists and is not beyond the end of the range.
func (c *cursor) inside(key []byte) bool {
	switch {
	case key == nil:
		return false
	case c.r.Reverse:
		return bytes.Compare(key, c.r.From) >= 0
	}
	return c.r.To == nil || bytes.Compare(key, c.r.To) < 0
}

// item returns copies of key and value, in one allocation, or no item if key is not in the range.
func (c *cursor) item(key, value []byte) storage.Item {
	if !c.inside(key) {
		return storage.Item{}
	}
	item, _ := copyItem(key, value, make([]byte, 0, len(key)+len(value)))
	return item
}

// copyItem appends copies of key and value to block, which has room for them. Their capacity is
// limited, so appending to one can't overwrite the next.
func copyItem(key, value, block []byte) (item storage.Item, longer []byte) {
	from := len(block)
	middle := from + len(key)
	block = append(append(block, key...), value...)
	return storage.Item{
		Key:   block[from:middle:middle],
		Value: block[middle:len(block):len(block)],
	}, block
}

func (v *view) Commit(_ context.Context, c *engine.Changes) error {
	// bbolt can't enlarge its memory map while a reader is open: a reader that waited for the
	// writer would deadlock.
	v.endSnapshot()
	defer v.Close()
	if len(c.Writes) == 0 {
		return v.settle()
	}
	return v.engine.commit(&request{changes: c, view: v})
}

// Validate returns the conflict that Commit would meet, and changes nothing.
func (v *view) Validate(c *engine.Changes) error {
	v.engine.queue.mu.Lock()
	defer v.engine.queue.mu.Unlock()
	if v.readFailed() {
		return errReadFailed
	}
	if len(c.Writes) == 0 || v.released {
		return nil
	}
	if conflict := v.engine.history.Validate(c, v.seen); conflict != nil {
		return conflict
	}
	return nil
}

// Close ends the snapshot and drops the history reference.
func (v *view) Close() {
	if v.closed {
		return
	}
	v.closed = true
	v.endSnapshot()
	v.release()
	v.engine.views.Done()
}

// release drops the view's history reference. It is called as soon as the transaction is validated,
// so that the history can forget.
func (v *view) release() {
	if !v.released {
		v.released = true
		v.engine.history.Close(v.snapshot)
	}
}

func (v *view) endSnapshot() {
	if v.reader != nil {
		v.engine.leave(v.reader)
		v.reader = nil
	}
}
