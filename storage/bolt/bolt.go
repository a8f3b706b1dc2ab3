package bolt

import (
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
	e.location.add(absolute(path), options.Logger) // stays until the engine is closed
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
	readers  readerPool
	history  *occ.History // the accepted commits, for validation
	queue    commitQueue
	commitTx func(*bbolt.Tx) error // (*bbolt.Tx).Commit; replaced by tests
	writer   sync.Mutex            // see lockWriter
	location location
	check    laterCheck
	// the error of all operations once the engine is unusable; else nil
	broken atomic.Pointer[error]

	created   bool        // opening has created the file
	used      atomic.Bool // something may have been written since
	discarded atomic.Bool // see Discard

	id        string // the RecorderID
	forgotten forgotten

	mu     sync.Mutex // guards the next two
	closed bool
	active sync.WaitGroup // the open views and other operations
}

// acquire keeps the engine open until release is called, unless it is closed or unusable already.
func (e *database) acquire() error {
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return storage.ErrClosed
	}
	e.active.Add(1)
	return nil
}

func (e *database) release() { e.active.Done() }

// Close waits for the open views and their commits.
func (e *database) Close() (err error) {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	e.active.Wait()
	if again {
		return nil
	}
	if ids := e.forgotten.drain(); len(ids) > 0 {
		// If the file is not at its path any more, the records stay, which is harmless.
		err = e.writeAlone(func(tx *bbolt.Tx) error { return unrecord(tx, ids) })
		if errors.Is(err, storage.ErrMoved) || e.broken.Load() != nil {
			err = nil
		}
	}
	e.saveFreePages()
	e.check.end()
	e.lockWriter()
	defer e.unlockWriter()
	return errors.Join(err, e.closeFile())
}
