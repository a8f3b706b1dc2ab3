package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/storage"
)

// Locks says how full the server's table of predicate locks is, in which it keeps what serializable transactions have read, and what
// keeps it from being cleared. What a transaction has read is kept until all that ran at the same time have ended: so one transaction that
// is open for long fills it, and then all that read and write fail, until it has ended.
type Locks struct {
	Held     int           // how many locks are held, in all databases of the server
	Capacity int           // about how many there is room for
	Age      time.Duration // how long the oldest transaction of this database has been open; 0: none is
	Oldest   string        // names that transaction: process id, application, address, state; empty: none is open
}

// String returns one line.
func (l Locks) String() string {
	text := fmt.Sprintf("%d of about %d predicate locks are held", l.Held, l.Capacity)
	if l.Oldest != "" {
		text += fmt.Sprintf("; the oldest transaction has been open for %s: %s", l.Age.Round(time.Second), l.Oldest)
	}
	return text
}

// ReadLocks asks the server how full its table of predicate locks is, for a metric or an alarm: above half of its capacity,
// something should be done. It costs the server about a millisecond, more with many locks: ask every few seconds, not in every request.
// It returns an error if db is not kept in PostgreSQL, or the database's.
func ReadLocks(ctx context.Context, db *storage.DB) (Locks, error) {
	e, ok := db.Engine().(*database)
	if !ok {
		return Locks{}, fmt.Errorf("storage/postgres: %s is no PostgreSQL database, which has predicate locks: write postgres://host/database", db.Name())
	}
	l, err := e.readLocks(ctx)
	if err != nil {
		return Locks{}, fmt.Errorf("storage: %s: %w", db.Name(), err)
	}
	return l, nil
}

const readLocks = "SELECT (SELECT count(*) FROM pg_catalog.pg_locks WHERE mode::pg_catalog.text OPERATOR(pg_catalog.=) 'SIReadLock')," +
	" pg_catalog.current_setting('max_pred_locks_per_transaction')::pg_catalog.int8 OPERATOR(pg_catalog.*)" +
	" (pg_catalog.current_setting('max_connections')::pg_catalog.int8 OPERATOR(pg_catalog.+)" +
	" pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8)," +
	" coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start), 0)," +
	" coalesce(pg_catalog.format('process %s, application %L, %s, %s', a.pid, a.application_name, coalesce(a.client_addr::pg_catalog.text, 'local')," +
	" coalesce(a.state, 'state unknown')), '')" +
	" FROM (SELECT 1) AS one LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_stat_activity AS s" +
	" WHERE s.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND s.xact_start IS NOT NULL" +
	" AND s.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() ORDER BY s.xact_start LIMIT 1) AS a ON true"

// readLocks uses the connections for turns, if there are some: the others may be waited for by all that fail because of the locks.
func (e *database) readLocks(ctx context.Context) (l Locks, err error) {
	if err := e.enter(); err != nil {
		return l, err
	}
	defer e.views.Done()
	pool := e.turns
	if pool == nil {
		pool = e.pool
	}
	var age float64
	err = pool.QueryRow(ctx, readLocks, pgx.QueryExecModeExec).Scan(&l.Held, &l.Capacity, &age, &l.Oldest)
	l.Age = time.Duration(age * float64(time.Second))
	return l, err
}

// isExhausted reports whether the server had no room left for what it shares among its processes, such as locks. It has, later.
func isExhausted(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "53200" // out_of_memory
}

// A blame is what is known of why the table of locks is full. It is asked for once in a while, however many fail.
type blame struct {
	ask func() (Locks, error)

	mu   sync.Mutex // guards the rest
	at   time.Time
	text string
}

const (
	blameAgain   = 5 * time.Second
	blameTimeout = time.Second
)

// ask is for all that fail, so it has a context of its own.
func (e *database) ask() (Locks, error) {
	ctx, cancel := context.WithTimeout(context.Background(), blameTimeout)
	defer cancel()
	return e.readLocks(ctx)
}

// exhausted says which transaction is to blame, if that can be told.
func (e *database) exhausted(err error) error {
	b := &e.blame
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.at) > blameAgain {
		b.text = ""
		if l, err := b.ask(); err == nil {
			b.text = ": " + l.String()
		}
		b.at = time.Now()
	}
	return &lackError{fmt.Errorf("the server has no room for more locks%s: end that transaction, or raise max_pred_locks_per_transaction: %w", b.text, err)}
}

// A tooLongError is that of an SQL transaction of the app's that was open for too long.
type tooLongError struct{ limit time.Duration }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the app's own SQL was open for more than %s, and was rolled back: what it has read keeps the server from forgetting"+
		" what others read; make it shorter, or write a larger app_sql_timeout in the URI", e.limit)
}

// Transient reports true, as for the server's own time-outs.
func (e *tooLongError) Transient() bool { return true }
