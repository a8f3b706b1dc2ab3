package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

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
	numbers := e.lockNumbers(keys)
	if leave, ok := e.holds.join(numbers, maxLease); ok {
		return leave, nil
	}
	// These check whether another process holds the locks, and must not find this one.
	for _, g := range e.accepted.checking(numbers) {
		<-g.ended
	}
	free, err := e.lock(ctx, func(conn *pgxpool.Conn) (bool, error) {
		for _, number := range numbers {
			if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)",
				number); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return free, err
	}
	return e.holds.add(numbers, free), nil
}

// maxLease is how long the locks of keys go from one ticket of this process to the next. After that
// they are unlocked first, for other processes that wait for them.
const maxLease = 20 * time.Millisecond

// holds are the locks of keys that this process holds. They are shared by commits that are accepted,
// and by the ticket that comes after them.
type holds struct {
	mu   sync.Mutex // guards the rest
	list []*hold
}

type hold struct {
	numbers []int64 // sorted
	since   time.Time
	users   int
	free    func()
}

// add adds locks. They are unlocked when leave, and that of each join, have been called.
func (s *holds) add(numbers []int64, free func()) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &hold{numbers: numbers, since: time.Now(), users: 1, free: free}
	s.list = append(s.list, h)
	return s.leave(h)
}

// join keeps locks with the sorted numbers until leave is called, if they are held, and not for
// longer than limit (0: no limit).
func (s *holds) join(numbers []int64, limit time.Duration) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.list {
		if (limit == 0 || time.Since(h.since) < limit) && slices.Equal(h.numbers, numbers) {
			h.users++
			return s.leave(h), true
		}
	}
	return func() {}, false
}

func (s *holds) leave(h *hold) func() {
	return sync.OnceFunc(func() {
		s.mu.Lock()
		h.users--
		last := h.users == 0
		if last {
			s.list = slices.DeleteFunc(s.list, func(other *hold) bool { return other == h })
		}
		s.mu.Unlock()
		if last {
			h.free()
		}
	})
}

// keepLocks keeps the locks of keys, if this process holds them, until release is called.
func (e *database) keepLocks(keys []engine.ReadKey) (release func()) {
	if len(keys) == 0 {
		return func() {}
	}
	release, _ = e.holds.join(e.lockNumbers(keys), 0)
	return release
}

// lockNumbers returns the sorted numbers of the locks for keys.
func (e *database) lockNumbers(keys []engine.ReadKey) []int64 {
	numbers := make([]int64, len(keys))
	for i, key := range keys {
		numbers[i] = e.keyLock(key.Bucket, key.Key)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
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
