// Package memory is the engine of package storage for tests, for development and for data that need
// not survive the process: a transactional key-value database in memory.
//
//	db := memory.New("scratch")           // not shared
//	memory.Register(opener)               // or by URI: memory://scratch
//
// It keeps every guarantee of package storage but durability: snapshots, serializable validation,
// atomic commits. It can take part in a two-phase commit that another data manager decides.
//
// # Caveats
//
// The data is gone when its last DB is closed. The package records no decisions: after a crash,
// work that other data managers prepared for it to decide counts as aborted. Old versions are kept
// as long as a snapshot that shows them is open.
package memory

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/url"
	"sync"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
	"github.com/pasteline/pasteline/transaction/resource"
)

// Register adds the scheme memory to o, for URIs such as memory://name. All users of the same name
// share one database.
func Register(o *storage.Opener) { o.RegisterCanonical("memory", open, canonical) }

// New returns a new database that is not shared; errors call it memory://name.
func New(name string) *storage.DB {
	uri := url.URL{Scheme: "memory", Host: name}
	return storage.New(uri.String(), newEngine())
}

func open(context.Context, *url.URL) (engine.Engine, error) { return newEngine(), nil }

func canonical(uri *url.URL) (*url.URL, error) {
	switch {
	case uri.Host == "" || uri.Path != "" && uri.Path != "/" || uri.User != nil:
		return nil, errors.New("want memory://name")
	case uri.RawQuery != "":
		return nil, errors.New("memory:// has no options")
	}
	return &url.URL{Scheme: "memory", Host: uri.Host}, nil
}

type (
	// A bucket is never written to once it is in a published state.
	bucket  = *btree.Map[string, []byte]
	buckets = *btree.Map[string, bucket]
)

// The optional interfaces that the engine implements.
var (
	_ engine.Preparer      = (*database)(nil)
	_ engine.PreparingView = (*view)(nil)
	_ engine.Validator     = (*view)(nil)
)

// A database is the engine of one database.
type database struct {
	history *occ.History

	mu       sync.Mutex // guards the fields below
	seq      uint64     // the last commit
	buckets  buckets    // copied before it is changed, so that a snapshot is only a pointer
	prepared map[*view]*engine.Changes
	views    sync.WaitGroup
	closed   bool
}

func newEngine() *database {
	return &database{
		history:  occ.New(0),
		buckets:  &btree.Map[string, bucket]{},
		prepared: map[*view]*engine.Changes{},
	}
}

func (e *database) Begin(context.Context) (engine.View, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, storage.ErrClosed
	}
	e.views.Add(1)
	return &view{engine: e, snapshot: e.history.Open(), seq: e.seq, buckets: e.buckets}, nil
}

// Close waits for the open views, but not for prepared ones, whose decision may never come.
func (e *database) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.views.Wait()
	return nil
}

// CanPrepare reports true.
func (e *database) CanPrepare() bool { return true }

// validate returns a conflict if c can't commit now. It is called with mu locked.
func (e *database) validate(c *engine.Changes, seq uint64) error {
	if conflict := e.history.Validate(c, seq); conflict != nil {
		return conflict
	}
	for _, prepared := range e.prepared {
		if conflict := occ.Overlap(prepared, c); conflict != nil {
			return conflict
		}
	}
	return nil
}

// apply adds c to the newest state. It is called with mu locked.
func (e *database) apply(c *engine.Changes) {
	next := e.buckets.Copy()
	var b bucket
	for i, w := range c.Writes {
		if i == 0 || w.Bucket != c.Writes[i-1].Bucket {
			if old, ok := next.Get(w.Bucket); ok {
				b = old.Copy()
			} else {
				b = &btree.Map[string, []byte]{}
			}
			next.Set(w.Bucket, b)
		}
		if w.Value == nil {
			b.Delete(w.Key)
		} else {
			b.Set(w.Key, w.Value)
		}
		if b.Len() == 0 && (i == len(c.Writes)-1 || c.Writes[i+1].Bucket != w.Bucket) {
			next.Delete(w.Bucket)
		}
	}
	e.seq++
	e.buckets = next
	e.history.Commit(e.seq, c)
}

// A view is a snapshot.
type view struct {
	engine   *database
	snapshot occ.Snapshot
	seq      uint64
	buckets  buckets
	closed   bool
}

func (v *view) Get(name string, key []byte) ([]byte, error) {
	b, ok := v.buckets.Get(name)
	if !ok {
		return nil, nil
	}
	value, _ := b.Get(string(key))
	return bytes.Clone(value), nil
}

func (v *view) Range(name string, r storage.Range) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		b, ok := v.buckets.Get(name)
		if !ok {
			return
		}
		yieldItem := func(key string, value []byte) bool {
			return yield(storage.Item{Key: []byte(key), Value: bytes.Clone(value)}, nil)
		}
		switch {
		case !r.Reverse:
			b.Ascend(string(r.From), func(key string, value []byte) bool {
				return (r.To == nil || key < string(r.To)) && yieldItem(key, value)
			})
		case r.To == nil:
			b.Reverse(func(key string, value []byte) bool {
				return key >= string(r.From) && yieldItem(key, value)
			})
		default:
			b.Descend(string(r.To), func(key string, value []byte) bool {
				return key == string(r.To) || key >= string(r.From) && yieldItem(key, value)
			})
		}
	}
}

func (v *view) Commit(_ context.Context, c *engine.Changes) error {
	if len(c.Writes) == 0 {
		v.Close()
		return nil
	}
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	if err := v.engine.validate(c, v.seq); err != nil {
		return err
	}
	v.release()
	v.engine.apply(c)
	return nil
}

// Validate returns the conflict that Commit would meet, and changes nothing.
func (v *view) Validate(c *engine.Changes) error {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	if len(c.Writes) == 0 || v.closed {
		return nil
	}
	return v.engine.validate(c, v.seq)
}

// Prepare protects c from later commits.
func (v *view) Prepare(_ context.Context, _ resource.Txn, c *engine.Changes) error {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	if err := v.engine.validate(c, v.seq); err != nil {
		return err
	}
	v.engine.prepared[v] = c
	v.engine.views.Done() // Close must not wait for a decision that may never come
	return nil
}

func (v *view) Finish(context.Context) error {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	c, ok := v.engine.prepared[v]
	if !ok {
		return errors.New("storage/memory: not prepared")
	}
	v.release()
	v.engine.apply(c)
	return nil
}

// Leave does nothing: the work stays prepared as long as the process lives.
func (v *view) Leave() {}

func (v *view) Close() {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	v.release()
}

// release is called with the engine's mu locked.
func (v *view) release() {
	if v.closed {
		return
	}
	v.closed = true
	v.engine.history.Close(v.snapshot)
	if _, ok := v.engine.prepared[v]; ok {
		delete(v.engine.prepared, v)
	} else {
		v.engine.views.Done()
	}
	v.buckets = nil
}
