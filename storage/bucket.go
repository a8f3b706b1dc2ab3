package storage

import (
	"bytes"
	"fmt"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage/engine"
)

// The limits of stored data, in bytes. They are the same for all engines, and are checked by Put,
// so that they can't make a commit fail.
const (
	MaxBucketName = 255
	MaxKey        = 2 << 10 // fits, with a bucket's name, into one entry of PostgreSQL's B-trees
	MaxValue      = 16 << 20
)

// A Bucket is a named set of ordered keys, as one transaction sees it. Like its [Tx] it may be used
// concurrently by the goroutines of a request.
//
// All methods return [transaction.ErrEnded] after the end of the transaction, and an error for a
// bucket name that is empty, longer than [MaxBucketName], or begins with a zero byte (such names
// are reserved for engines).
type Bucket struct {
	tx       *Tx
	data     *bucketData
	snapshot bool
}

// Get returns the value of key; nil, nil if it does not exist (an empty value is not nil). The
// value belongs to the caller.
func (b Bucket) Get(key []byte) ([]byte, error) {
	b.tx.mu.Lock()
	defer b.tx.mu.Unlock()
	if err := b.check(key); err != nil {
		return nil, err
	}
	if w := b.data.writes; w != nil {
		if value, ok := w.Get(string(key)); ok {
			return bytes.Clone(value), nil
		}
	}
	view, err := b.tx.open()
	if err != nil {
		return nil, err
	}
	if !b.snapshot {
		b.data.read(key)
	}
	value, err := view.Get(b.data.name, key)
	if err != nil {
		return nil, b.tx.explainRead(err, b.data.name, keyInterval(key))
	}
	b.tx.tellKey(b.data.name, observe.Get, key, len(value))
	return value, nil
}

// Put sets the value of key. Both slices may be reused afterwards. It returns an error, and writes
// nothing, if key is empty or longer than [MaxKey], or value is longer than [MaxValue].
func (b Bucket) Put(key, value []byte) error {
	b.tx.mu.Lock()
	defer b.tx.mu.Unlock()
	if err := b.check(key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return b.errorf("a value of %d bytes for key %.32q: want at most %d bytes", len(value),
			string(key), MaxValue)
	}
	own := make([]byte, len(value)) // not nil, which would mean deleted
	copy(own, value)
	b.data.write(string(key), own)
	b.tx.tellKey(b.data.name, observe.Put, key, len(own))
	return nil
}

// Delete removes key. It is no error if key does not exist.
func (b Bucket) Delete(key []byte) error {
	b.tx.mu.Lock()
	defer b.tx.mu.Unlock()
	if err := b.check(key); err != nil {
		return err
	}
	b.data.write(string(key), nil)
	b.tx.tellKey(b.data.name, observe.Delete, key, 0)
	return nil
}

// Snapshot returns the same bucket for reads that the commit does not validate, like FoundationDB's
// snapshot reads: they still come from the transaction's one snapshot and its own writes, but
// another transaction may have changed them by the time of the commit. Use it where the result does
// not depend on every key that was read, and [Bucket.AddReadConflict] for the keys on which it
// does.
func (b Bucket) Snapshot() Bucket {
	b.snapshot = true
	return b
}

// AddReadConflict makes the commit fail if another transaction has changed key since the snapshot,
// as if key had been read. Unlike Get, it counts keys that the transaction has written itself.
func (b Bucket) AddReadConflict(key []byte) error {
	b.tx.mu.Lock()
	defer b.tx.mu.Unlock()
	if err := b.check(key); err != nil {
		return err
	}
	view, err := b.tx.open() // "since the snapshot" needs a snapshot, taken now at the latest
	if err != nil {
		return err
	}
	b.data.read(key)
	if w, ok := view.(engine.Watcher); ok {
		// a copy lets key stay on the stack
		if err := w.Watch(b.data.name, bytes.Clone(key)); err != nil {
			return b.tx.explainRead(err, b.data.name, keyInterval(key))
		}
	}
	return nil
}

func (b *bucketData) read(key []byte) {
	if len(b.ranges) == 0 || !b.ranges.contain(string(key)) {
		b.reads.add(key)
	}
}

func (b *bucketData) write(key string, value []byte) {
	if b.writes == nil {
		b.writes = &btree.Map[string, []byte]{}
	}
	b.writes.Set(key, value)
}

// check returns an error if b or key is not usable. It is called with the Tx locked, as usable is.
func (b Bucket) check(key []byte) error {
	if err := b.usable(); err != nil {
		return err
	}
	if len(key) == 0 {
		return b.errorf("an empty key: want 1 to %d bytes", MaxKey)
	}
	if len(key) > MaxKey {
		return b.errorf("a key of %d bytes that starts with %.32q: want 1 to %d bytes", len(key),
			string(key), MaxKey)
	}
	return nil
}

func (b Bucket) usable() error {
	if err := b.tx.errEnded(); err != nil {
		return err
	}
	switch name := b.data.name; {
	case name == "":
		return b.errorf("want a name of 1 to %d bytes", MaxBucketName)
	case len(name) > MaxBucketName:
		return b.errorf("a name of %d bytes: want 1 to %d bytes", len(name), MaxBucketName)
	case name[0] == 0:
		return b.errorf("a name that begins with a zero byte is reserved")
	}
	return nil
}

func (b Bucket) errorf(format string, args ...any) error {
	return fmt.Errorf("storage: %s: bucket %.64q: %s", b.tx.core.name, b.data.name,
		fmt.Sprintf(format, args...))
}
