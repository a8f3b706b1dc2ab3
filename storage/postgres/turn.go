package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/storage/engine"
)

// turnConns is how many turns and locks the process can have, or wait for, at a time. They have connections of their own: who has a
// turn needs another connection for the work, and would wait for ever for one that somebody holds who waits for the turn.
const turnConns = 8

// openTurns makes the pool for them; a connection is only made when it is needed.
func (e *database) openTurns(ctx context.Context) (err error) {
	config := e.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = turnConns, 0, 0
	e.configure(&config.ConnConfig.Config, e.options.settings.with(unlimited)) // the caller says for how long
	e.turns, err = pgxpool.NewWithConfig(ctx, config)
	return err
}

// place names the tables, as all processes do, whatever they are called in the URI.
func (e *database) place() string { return cmp.Or(e.id, e.statements.data) }

// turnLock is the number of the lock that stands for a key. It is shared by those who are committing a write to it, and exclusive
// for who has the turn.
func (e *database) turnLock(bucket, key string) int64 {
	return lockNumber("turn", e.place(), bucket, key)
}

// LockKeys waits for commits that are under way, and for processes that came before. All processes
// take the locks in one order, so that they can't deadlock.
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

// TryLock is an advisory lock, too.
func (e *database) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	if e.turns == nil {
		return func() {}, true, nil // nothing can tell: the work is done more than once, then
	}
	unlock, err = e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", lockNumber("lock", e.place(), name)).Scan(&ok)
		return ok, err
	})
	return unlock, ok, err
}

// lock holds a connection as long as the locks that take takes.
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
