package bolt

import (
	"bytes"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// stored returns the items of a range of bbolt's snapshot, without the overlays.
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
