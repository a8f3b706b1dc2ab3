package bolt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

// Register adds the scheme bolt to o, for URIs such as bolt:///var/lib/site/data.db.
func Register(o *storage.Opener) { o.RegisterCanonical("bolt", openURI, canonical) }

// Open opens the database in the file at path, which is created if it does not exist; the directory
// must exist. Nil options are the defaults. Errors wrap [storage.ErrInUse] or [storage.ErrDamaged]
// where that is the reason.
//
// A database opened with Open is not shared with other users in the process, unlike one opened by
// URI with a [storage.Opener].
func Open(path string, options *Options) (*storage.DB, error) {
	if options == nil {
		options = &Options{}
	}
	e, err := openEngine(path, *options)
	if err != nil {
		return nil, fmt.Errorf("storage/bolt: %s: %w", path, err)
	}
	e.place.add(absolute(path), options.Logger) // stays until the engine is closed
	return storage.New((&url.URL{Scheme: "bolt", Path: path}).String(), e), nil
}

// The optional interfaces that the engine implements.
var (
	_ engine.Recorder    = (*database)(nil)
	_ engine.Speculative = (*database)(nil)
	_ engine.Located     = (*database)(nil)
	_ engine.Discarder   = (*database)(nil)
	_ engine.Lister      = (*view)(nil)
	_ engine.Validator   = (*view)(nil)
)

// A database is the engine of one open file.
type database struct {
	db       *bbolt.DB
	history  *occ.History // numbers the commits as the queue accepts them
	queue    queue
	commitTx func(*bbolt.Tx) error // (*bbolt.Tx).Commit; replaced by tests
	// the error of all operations once the engine is unusable; else nil
	broken atomic.Pointer[error]
	idle   idle
	writer sync.Mutex // see lockWriter: bbolt gives a failed transaction's id to the next
	place  place

	made      bool        // opening has created the file
	used      atomic.Bool // something may have been written since
	discarded atomic.Bool // see Discard

	id        string // the DeciderID
	forgotten forgotten

	mu     sync.Mutex // guards the next two
	closed bool
	views  sync.WaitGroup // the open views
}

// Begin takes a snapshot.
func (e *database) Begin(context.Context) (engine.View, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	v, _, err := e.snapshot()
	if err != nil {
		e.views.Done()
		return nil, err
	}
	return v, nil
}

// snapshot opens a view. It shows the commits of before, the queue's state when it began, or more.
func (e *database) snapshot() (v *view, before *shown, err error) {
	snapshot := e.history.Open()
	before = e.queue.shown.Load()
	r, err := e.reader()
	if err != nil {
		e.history.Close(snapshot)
		return nil, nil, err
	}
	id := uint64(r.tx.ID()) //nolint:gosec // ids are not negative
	return &view{
		engine: e, snapshot: snapshot, reader: r, seq: id,
		seen: before.upTo(id),
	}, before, nil
}

// enter counts a view, unless the engine is closed or unusable.
func (e *database) enter() error {
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return storage.ErrClosed
	}
	e.views.Add(1)
	return nil
}

// begin begins a bbolt transaction. It first checks the meta pages: without them bbolt would panic
// while it holds a lock.
func (e *database) begin(writable bool) (tx *bbolt.Tx, err error) {
	if _, err := e.place.readHeads(); err != nil {
		return nil, e.overwritten(err)
	}
	return e.beginGuarded(writable)
}

func (e *database) beginGuarded(writable bool) (tx *bbolt.Tx, err error) {
	defer guard(protect(), &err)
	return e.db.Begin(writable)
}

// Close waits for the open views and their commits.
func (e *database) Close() (err error) {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	e.views.Wait()
	if again {
		return nil
	}
	if ids := e.forgotten.take(); len(ids) > 0 {
		// If the file is not at its path any more, the records stay, which is harmless.
		if err = e.writeAlone(func(tx *bbolt.Tx) error { return unrecord(tx, ids) }); errors.Is(err,
			storage.ErrMoved) || e.broken.Load() != nil {
			err = nil
		}
	}
	e.lockWriter()
	defer e.unlockWriter()
	return errors.Join(err, e.closeFile())
}
