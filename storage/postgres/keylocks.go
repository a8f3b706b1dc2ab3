package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/storage/engine"
)

// lockConns limits how many advisory locks the process holds or waits for. They use a separate
// pool: a transaction that holds a lock needs a second connection for its work, and with one pool
// that could deadlock.
const lockConns = 8

// openLockPool creates that pool. Its connections are made on demand.
func (e *database) openLockPool(ctx context.Context) (err error) {
	config := e.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = lockConns, 0, 0
	// the callers limit the wait
	e.configure(&config.ConnConfig.Config, e.options.settings.with(unlimited))
	e.lockPool, err = pgxpool.NewWithConfig(ctx, config)
	return err
}

// lockScope returns a name of the tables that is the same in all processes, whatever their URIs
// are.
func (e *database) lockScope() string { return cmp.Or(e.id, e.statements.data) }

// keyLock returns the number of the lock for a key. Transactions that are committing a write to the
// key share the lock; the holder of the ticket has it exclusively. Processes of older versions use
// the same number, hence the word in it.
func (e *database) keyLock(bucket, key string) int64 {
	return lockNumber("turn", e.lockScope(), bucket, key)
}

// LockKeys waits for running commits, and for processes that asked earlier. All processes take the
// locks in one order, so that they can't deadlock.
func (e *database) LockKeys(ctx context.Context, keys []engine.ReadKey) (
	release func(), err error,
) {
	if e.lockPool == nil {
		return func() {}, nil
	}
	numbers := make([]int64, len(keys))
	for i, key := range keys {
		numbers[i] = e.keyLock(key.Bucket, key.Key)
	}
	slices.Sort(numbers)
	return e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		for _, number := range slices.Compact(numbers) {
			if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)",
				number); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// TryLock takes an advisory lock for the name, if it is free.
func (e *database) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	if e.lockPool == nil {
		return func() {}, true, nil // without advisory locks, several processes may do the work
	}
	unlock, err = e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		number := lockNumber("lock", e.lockScope(), name)
		err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", number).Scan(&ok)
		return ok, err
	})
	return unlock, ok, err
}

// lock calls acquire, which takes locks on a connection, and keeps the connection until unlock.
func (e *database) lock(ctx context.Context,
	acquire func(*pgxpool.Conn) (bool, error),
) (unlock func(), err error) {
	if err := e.acquire(); err != nil {
		return nil, err
	}
	conn, err := e.lockPool.Acquire(ctx)
	if err != nil {
		e.release()
		return nil, e.explain(err)
	}
	free := func() { //nolint:contextcheck // the caller's may be done
		defer e.release()
		defer conn.Release()
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock_all()"); err != nil {
			_ = conn.Conn().Close(ctx) // which releases them too
		}
	}
	if ok, err := acquire(conn); err != nil || !ok {
		free()
		return func() {}, e.explain(err)
	}
	return free, nil
}
