package occ

import (
	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// Writes is a set of written keys, such as those of the earlier members of a batch. The zero Writes
// is empty.
type Writes struct {
	keys map[string]*btree.Map[string, struct{}] // by bucket
}

// Add adds the keys of writes.
func (w *Writes) Add(writes []engine.Write) {
	if w.keys == nil {
		w.keys = make(map[string]*btree.Map[string, struct{}])
	}
	var keys *btree.Map[string, struct{}]
	for i := range writes {
		if i == 0 || writes[i].Bucket != writes[i-1].Bucket {
			keys = w.keys[writes[i].Bucket]
			if keys == nil {
				keys = &btree.Map[string, struct{}]{}
				w.keys[writes[i].Bucket] = keys
			}
		}
		keys.Set(writes[i].Key, struct{}{})
	}
}

// Validate returns a conflict if c read a key of the set.
func (w *Writes) Validate(c *engine.Changes) *storage.ConflictError {
	return conflict(w.keys, c, func(struct{}) bool { return true })
}

// conflict returns a conflict if c read one of keys for which changed reports true.
func conflict[V any](keys map[string]*btree.Map[string, V], c *engine.Changes,
	changed func(V) bool,
) *storage.ConflictError {
	if len(keys) == 0 {
		return nil
	}
	for _, r := range c.Reads {
		if bucket := keys[r.Bucket]; bucket != nil {
			if v, ok := bucket.Get(r.Key); ok && changed(v) {
				return &storage.ConflictError{Bucket: r.Bucket, Key: []byte(r.Key)}
			}
		}
	}
	for _, r := range c.Ranges {
		bucket := keys[r.Bucket]
		if bucket == nil {
			continue
		}
		var found *storage.ConflictError
		bucket.Ascend(r.From, func(key string, v V) bool {
			if !r.Contains(key) {
				return false
			}
			if changed(v) {
				found = &storage.ConflictError{Bucket: r.Bucket, Key: []byte(key)}
			}
			return found == nil
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// Overlap returns a conflict if c can't commit while prepared is pending. Prepared work may be
// committed any time but is not visible yet, so c must not read anything that prepared writes, nor
// write anything that it reads or writes.
func Overlap(prepared, c *engine.Changes) *storage.ConflictError {
	var theirs, ours Writes
	theirs.Add(prepared.Writes)
	if conflict := theirs.Validate(c); conflict != nil {
		return conflict
	}
	for _, w := range c.Writes {
		if keys := theirs.keys[w.Bucket]; keys != nil {
			if _, ok := keys.Get(w.Key); ok {
				return &storage.ConflictError{Bucket: w.Bucket, Key: []byte(w.Key)}
			}
		}
	}
	ours.Add(c.Writes)
	return ours.Validate(prepared)
}
