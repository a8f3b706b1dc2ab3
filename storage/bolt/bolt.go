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

// Register makes URIs such as bolt:///var/lib/site/data.db known to o.
func Register(o *storage.Opener) { o.RegisterCanonical("bolt", openURI, canonical) }

// Open opens the database in the file at path, which is made if it does not exist; the directory must be there. Nil options
// are the defaults. Errors wrap [storage.ErrInUse] or [storage.ErrDamaged] where that is the reason.
//
// Who opens a database by URI, with a [storage.Opener], shares it with others in the process; who uses Open does not.
func Open(path string, options *Options) (*storage.DB, error) {
	if options == nil {
		options = &Options{}
	}
	e, err := openEngine(path, *options)
	if err != nil {
		return nil, fmt.Errorf("storage/bolt: %s: %w", path, err)
	}
	e.place.add(absolute(path), options.Logger) // it need not leave before the engine is closed
	return storage.New((&url.URL{Scheme: "bolt", Path: path}).String(), e), nil
}

// What the engine offers.
var (
	_ engine.Recorder    = (*database)(nil)
	_ engine.Speculative = (*database)(nil)
	_ engine.Located     = (*database)(nil)
	_ engine.Discarder   = (*database)(nil)
	_ engine.Lister      = (*view)(nil)
	_ engine.Validator   = (*view)(nil)
)

// An engine is one open file.
type database struct {
	db       *bbolt.DB
	history  *occ.History // its commits are numbered as the queue accepts them
	queue    queue
	commitTx func(*bbolt.Tx) error // (*bbolt.Tx).Commit, but in tests
	broken   atomic.Pointer[error] // why nothing can be done any more; nil: all is well
	idle     idle                  // readers
	writer   sync.Mutex            // see lockWriter: bbolt gives a failed transaction's id to the next
	place    place

	made      bool        // the file was made when it was opened
	used      atomic.Bool // something was written to it since, or may have been
	discarded atomic.Bool // see Discard

	id        string // the DeciderID
	forgotten forgotten

	mu     sync.Mutex // guards the next two
	closed bool
	views  sync.WaitGroup // the open ones
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

// snapshot takes one, of which before was shown when it began: it shows that, or more.
func (e *database) snapshot() (v *view, before *shown, err error) {
	snapshot := e.history.Open()
	before = e.queue.shown.Load()
	r, err := e.reader()
	if err != nil {
		e.history.Close(snapshot)
		return nil, nil, err
	}
	id := uint64(r.tx.ID()) //nolint:gosec // ids are not negative
	return &view{engine: e, snapshot: snapshot, reader: r, seq: id, seen: before.upTo(id)}, before, nil
}

// enter counts a view, unless there can't be one.
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

// begin begins a transaction of bbolt. Where there are no meta pages bbolt would panic, and never unlock what it had locked.
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
		// Not where the file is not in its place any more: then the records stay, and do no harm.
		if err = e.writeAlone(func(tx *bbolt.Tx) error { return unrecord(tx, ids) }); errors.Is(err, storage.ErrMoved) || e.broken.Load() != nil {
			err = nil
		}
	}
	e.lockWriter()
	defer e.unlockWriter()
	return errors.Join(err, e.closeFile())
}
