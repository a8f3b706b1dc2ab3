package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/storage/engine"
)

// turnConns limits how many advisory locks the process holds or waits for. They use a separate
// pool: a transaction that holds a lock needs a second connection for its work, and with one pool
// that could deadlock.
const turnConns = 8

// openTurns makes that pool; connections are made on demand.
func (e *database) openTurns(ctx context.Context) (err error) {
	config := e.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = turnConns, 0, 0
	e.configure(&config.ConnConfig.Config, e.options.settings.with(unlimited)) // the caller says for how long
	e.turns, err = pgxpool.NewWithConfig(ctx, config)
	return err
}

// place names the tables, in the same way in all processes, however the URI names them.
func (e *database) place() string { return cmp.Or(e.id, e.statements.data) }

// turnLock returns the number of the lock for a key. Transactions that are committing a write to
// the key share it; the holder of the ticket has it exclusively.
func (e *database) turnLock(bucket, key string) int64 {
	return lockNumber("turn", e.place(), bucket, key)
}

// LockKeys waits for running commits, and for processes that came before. All processes take the
// locks in one order, so that they can't deadlock.
func (e *database) LockKeys(ctx context.Context, keys []engine.ReadKey) (release func(), err error) {
	if e.turns == nil {
		return func() {}, nil
	}
	numbers := make([]int64, len(keys))
	for i, key := range keys {
		numbers[i] = e.turnLock(key.Bucket, key.Key)
	}
	slices.Sort(numbers)
	return e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		for _, number := range slices.Compact(numbers) {
			if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)", number); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// TryLock takes an advisory lock for the name.
func (e *database) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	if e.turns == nil {
		return func() {}, true, nil // without advisory locks, several processes may do the work
	}
	unlock, err = e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", lockNumber("lock", e.place(), name)).Scan(&ok)
		return ok, err
	})
	return unlock, ok, err
}

// lock keeps a connection as long as the locks that take takes.
func (e *database) lock(ctx context.Context, take func(*pgxpool.Conn) (bool, error)) (unlock func(), err error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	conn, err := e.turns.Acquire(ctx)
	if err != nil {
		e.views.Done()
		return nil, e.explain(err)
	}
	free := func() { //nolint:contextcheck // that of the attempt may be done
		defer e.views.Done()
		defer conn.Release()
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock_all()"); err != nil {
			_ = conn.Conn().Close(ctx) // which lets go of them, too
		}
	}
	if ok, err := take(conn); err != nil || !ok {
		free()
		return func() {}, e.explain(err)
	}
	return free, nil
}
