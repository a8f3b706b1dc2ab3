package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A DB is a transactional, ordered key-value database. It is safe for concurrent use by multiple
// goroutines.
type DB struct {
	core   *core
	closed atomic.Bool
	close  func() error // nil for the DB of shared values
}

// core is the part shared by all DBs of one engine, so that a transaction that uses the same
// database through two of them joins it once.
type core struct {
	name    string
	sortKey string
	engine  engine.Engine
	queue   keyQueue
	locks   locks
	shared  sync.Map // see DB.Shared
	pinger  pinger
}

func newCore(name string, e engine.Engine) *core {
	locker, _ := e.(engine.KeyLocker)
	return &core{name: name, sortKey: "storage:" + name, engine: e, queue: keyQueue{db: name, locker: locker}}
}

// closeShared closes the shared values that are io.Closers, while the engine is still open.
func (c *core) closeShared() error {
	var errs []error
	for _, value := range c.shared.Range {
		if closer, ok := value.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(errs...)
}

// New returns a DB of e, which it owns from now on. Name identifies the database in errors and in
// the sort key of its data manager, so it must not contain a secret.
func New(name string, e engine.Engine) *DB {
	c := newCore(name, e)
	return newDB(c, func() error { return errors.Join(c.closeShared(), e.Close()) })
}

func newDB(c *core, closeEngine func() error) *DB {
	return &DB{core: c, close: sync.OnceValue(closeEngine)}
}

// Name returns the name of the database in errors.
func (db *DB) Name() string { return db.core.name }

// Engine returns the engine, for features that only some engines have (see [engine.Recorder]).
func (db *DB) Engine() engine.Engine { return db.core.engine }

// Bucket returns a bucket in the transaction of ctx: it is [DB.Tx] and [Tx.Bucket] in one call, with
// the errors of Tx.
func (db *DB) Bucket(ctx context.Context, name string) (Bucket, error) {
	tx, err := db.Tx(ctx)
	if err != nil {
		return Bucket{}, err
	}
	return tx.Bucket(name), nil
}

// Tx returns the view that the transaction of ctx has of db. The first call in a transaction joins
// it; later calls return the same Tx, which stays valid after ctx is done. It returns
// [transaction.ErrNoTransaction], [ErrClosed], [transaction.ErrEnded] or
// [transaction.ErrCommitFailed], wrapped.
func (db *DB) Tx(ctx context.Context) (*Tx, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("storage: %s: %w: "+
			"put the filter \"egg:repoze.tm2#tm\" before the app, or use transaction.Run",
			db.Name(), transaction.ErrNoTransaction)
	}
	if tx, ok := t.Data(db.core).(*Tx); ok {
		return tx.unlessEnded()
	}
	if db.closed.Load() {
		return nil, fmt.Errorf("storage: %s: %w", db.Name(), ErrClosed)
	}
	own := &Tx{
		core: db.core, ctx: t.Context(), ticket: db.core.queue.held(ctx), seen: t.Observed(),
	}
	first, err := t.JoinAs(db.core, own, newDataManager(own))
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", db.Name(), err)
	}
	if tx, ok := first.(*Tx); ok && tx != own { // another goroutine was first
		return tx.unlessEnded()
	}
	return own, nil
}

// unlessEnded returns tx, or an error if its transaction is over.
func (tx *Tx) unlessEnded() (*Tx, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return nil, err
	}
	return tx, nil
}

// Shared returns the value stored under key with the open database; if there is none, it stores the
// result of newValue. All DBs that share the database, such as those before and after a reload,
// have the same values, until the last one is closed. As with contexts, key should be of an
// unexported type of the caller's package.
//
// The argument of newValue is a DB that stays open as long as the values exist, for work that
// outlives the DB of the caller. It must not be closed. If a value is an [io.Closer], it is closed
// before the engine, with the last of the DBs: its Close can still use that argument, and should
// not wait for long. Its error is part of the error of [DB.Close]. As newValue may be called for a
// value that is not stored, because another goroutine was faster, it should only create the value.
func (db *DB) Shared(key any, newValue func(db *DB) any) any {
	if value, ok := db.core.shared.Load(key); ok {
		return value
	}
	value, _ := db.core.shared.LoadOrStore(key, newValue(&DB{core: db.core}))
	return value
}

// TryLock takes the lock of that name unless it is held, in this process or in another that uses
// the same database: for work that one process does at a time. It returns at once. The lock is
// released by unlock, or by the end of the process. Errors are the engine's, or of ctx.
func (db *DB) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	release, ok := db.core.locks.try(name)
	locker, shared := db.core.engine.(engine.Locker)
	if !ok || !shared {
		return release, ok, nil
	}
	unlockAll, ok, err := locker.TryLock(ctx, name)
	if !ok || err != nil {
		release()
		if err != nil {
			err = fmt.Errorf("storage: %s: %w", db.Name(), err)
		}
		return func() {}, false, err
	}
	return sync.OnceFunc(func() { unlockAll(); release() }), true, nil
}

// locks are the named locks held in this process.
type locks struct{ held sync.Map }

func (l *locks) try(name string) (release func(), ok bool) {
	if _, taken := l.held.LoadOrStore(name, struct{}{}); taken {
		return func() {}, false
	}
	return sync.OnceFunc(func() { l.held.Delete(name) }), true
}

// Close releases the database. The last DB that shares the engine closes the shared values (see
// [DB.Shared]) and then the engine, once its open transactions have ended. Further calls do nothing.
func (db *DB) Close() error {
	db.closed.Store(true)
	return db.close()
}
