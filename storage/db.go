package storage

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A DB is a transactional, ordered key-value database. It is safe for concurrent use by multiple goroutines.
type DB struct {
	core   *core
	closed atomic.Bool
	close  func() error
}

// core is what all DBs of one engine share: a transaction that meets the same database through two of them joins it once.
type core struct {
	name    string
	sortKey string
	engine  engine.Engine
	turns   turns
	locks   locks
	shared  sync.Map // see DB.Shared
}

func newCore(name string, e engine.Engine) *core {
	turner, _ := e.(engine.KeyLocker)
	return &core{name: name, sortKey: "storage:" + name, engine: e, turns: turns{turner: turner}}
}

// New makes a DB of an engine, which it owns from now on. Errors, and the sort key of the data manager, call it name, so there
// must be no secret in it.
func New(name string, e engine.Engine) *DB {
	return newDB(newCore(name, e), e.Close)
}

func newDB(c *core, closeEngine func() error) *DB {
	return &DB{core: c, close: sync.OnceValue(closeEngine)}
}

// Name returns what errors call the database.
func (db *DB) Name() string { return db.core.name }

// Engine returns the engine, for what only some engines can do (see [engine.Recorder]).
func (db *DB) Engine() engine.Engine { return db.core.engine }

// Tx returns the view that the transaction of ctx has of db. The first call in a transaction joins it; later ones return the same
// view, which outlives ctx. It returns [transaction.ErrNoTransaction], [ErrClosed], [transaction.ErrEnded] or [transaction.ErrCommitFailed], wrapped.
func (db *DB) Tx(ctx context.Context) (*Tx, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("storage: %s: %w: put the filter \"egg:repoze.tm2#tm\" before the app, or use transaction.Run",
			db.Name(), transaction.ErrNoTransaction)
	}
	if tx, ok := t.Data(db.core).(*Tx); ok {
		return tx.unlessEnded()
	}
	if db.closed.Load() {
		return nil, fmt.Errorf("storage: %s: %w", db.Name(), ErrClosed)
	}
	own := &Tx{core: db.core, ctx: t.Context(), turn: db.core.turns.held(ctx)}
	first, err := t.JoinAs(db.core, own, newDataManager(own))
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", db.Name(), err)
	}
	if tx, ok := first.(*Tx); ok && tx != own { // of another goroutine
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

// Shared returns what is kept under key with the open database: the same for all DBs that share it, as those before and after a
// reload do, until the last is closed. If there is nothing yet, it keeps what newValue returns. As for contexts, key should be
// of an unexported type of the caller's package.
func (db *DB) Shared(key any, newValue func() any) any {
	if value, ok := db.core.shared.Load(key); ok {
		return value
	}
	value, _ := db.core.shared.LoadOrStore(key, newValue())
	return value
}

// TryLock takes the lock of that name, unless somebody else has it, in this process or in another that uses the same database: for
// work that need not be done twice. It returns at once. The lock is let go of by unlock, or with the end of the process. Errors are the
// engine's, or of ctx.
func (db *DB) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	leave, ok := db.core.locks.try(name)
	locker, among := db.core.engine.(engine.Locker)
	if !ok || !among {
		return leave, ok, nil
	}
	free, ok, err := locker.TryLock(ctx, name)
	if !ok || err != nil {
		leave()
		if err != nil {
			err = fmt.Errorf("storage: %s: %w", db.Name(), err)
		}
		return func() {}, false, err
	}
	return sync.OnceFunc(func() { free(); leave() }), true, nil
}

// locks are those that somebody in this process has.
type locks struct{ held sync.Map }

func (l *locks) try(name string) (leave func(), ok bool) {
	if _, taken := l.held.LoadOrStore(name, struct{}{}); taken {
		return func() {}, false
	}
	return sync.OnceFunc(func() { l.held.Delete(name) }), true
}

// Close gives the database back; the engine is closed with the last DB that shares it, once its open transactions have ended.
// A second call does nothing.
func (db *DB) Close() error {
	db.closed.Store(true)
	return db.close()
}
