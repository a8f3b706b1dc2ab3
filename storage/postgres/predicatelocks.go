package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/storage"
)

// Locks is the state of the server's table of predicate locks, in which it keeps the reads of
// serializable transactions until all concurrent transactions have ended. So one transaction that
// is open for long fills the table, and then all reads and writes fail until it has ended.
type Locks struct {
	Held     int // number of locks held, in all databases of the server
	Capacity int // approximate size of the table
	// since the oldest transaction of this database was begun; 0: none is open
	Age time.Duration

	// Oldest describes that transaction: process id, application, address and state, and the
	// description of the transaction if this process has begun it. It is empty if none is open.
	Oldest string
}

// String returns one line.
func (l Locks) String() string {
	text := fmt.Sprintf("%d of about %d predicate locks are held", l.Held, l.Capacity)
	if l.Oldest != "" {
		text += fmt.Sprintf("; the oldest transaction has been open for %s: %s",
			l.Age.Round(time.Second), l.Oldest)
	}
	return text
}

// ReadLocks returns the state of the server's table of predicate locks, for a metric or an alarm:
// above half of its capacity, action is needed. The query is not free, and costs more with many
// locks, so call it every few seconds, not in every request. It returns an error if db is no
// PostgreSQL database, or the database's error. It may be called concurrently.
func ReadLocks(ctx context.Context, db *storage.DB) (Locks, error) {
	e, ok := db.Engine().(*database)
	if !ok {
		return Locks{}, fmt.Errorf("storage/postgres: %s is no PostgreSQL database, "+
			"so it has no predicate locks: write postgres://host/database", db.Name())
	}
	l, err := e.readLocks(ctx)
	if err != nil {
		return Locks{}, fmt.Errorf("storage: %s: %w", db.Name(), err)
	}
	return l, nil
}

var readLocks = qualify("SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks" +
	" WHERE mode::pg_catalog.text {=} 'SIReadLock')," +
	" pg_catalog.current_setting('max_pred_locks_per_transaction')::pg_catalog.int8" +
	" {*} (pg_catalog.current_setting('max_connections')::pg_catalog.int8" +
	" {+} pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8)," +
	" coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() {-} a.xact_start), 0)," +
	" coalesce(pg_catalog.format('process %s, application %L, %s, %s'," +
	" a.pid, a.application_name, coalesce(a.client_addr::pg_catalog.text, 'local')," +
	" coalesce(a.state, 'state unknown')), ''), coalesce(a.pid, 0)" +
	" FROM (SELECT 1) AS one LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_stat_activity AS s" +
	" WHERE s.datname {=} pg_catalog.current_database() AND s.xact_start IS NOT NULL" +
	" AND s.pid {<>} pg_catalog.pg_backend_pid()" +
	" ORDER BY s.xact_start LIMIT 1) AS a ON true")

// readLocks uses the pool of connections for locks, if the engine has one: all connections of the
// other pool may be in use by requests that fail because of the locks.
func (e *database) readLocks(ctx context.Context) (l Locks, err error) {
	if err := e.acquire(); err != nil {
		return l, err
	}
	defer e.release()
	pool := e.lockPool
	if pool == nil {
		pool = e.pool
	}
	var age float64
	var pid uint32
	err = pool.QueryRow(ctx, readLocks, pgx.QueryExecModeExec).
		Scan(&l.Held, &l.Capacity, &age, &l.Oldest, &pid)
	l.Age = time.Duration(age * float64(time.Second))
	if purpose, ours := e.appSQL.Load(pid); ours {
		l.Oldest += fmt.Sprintf(", the app's own SQL of %q", purpose)
	}
	return l, err
}

// isExhausted reports whether the server had no room left in memory shared among its processes,
// such as for locks. It is temporary.
func isExhausted(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "53200" // out_of_memory
}

// A lockWatch tracks the state of the table of locks, and warns before the table is full.
type lockWatch struct {
	read func() (Locks, error)

	mu   sync.Mutex // guards the next three
	at   time.Time
	last Locks
	err  error

	commits atomic.Int64  // since the engine was opened; commits make the server keep reads
	due     chan struct{} // receives after many commits, when a check is due
	stop    chan struct{} // closed with the engine
}

const (
	failureAge  = 5 * time.Second // for error messages, shared by all failing requests
	readTimeout = time.Second

	checkEvery   = 10 * time.Second       // after any commit
	checkCommits = 64                     // and after this many commits, but
	checkPause   = 200 * time.Millisecond // not more often than that
	warnEvery    = time.Minute

	fresh = time.Second // for metrics
)

// readForAll is readLocks for all failing requests, so it has a context of its own.
func (e *database) readForAll() (Locks, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	return e.readLocks(ctx)
}

// recent returns the state of the table, which may be as old as age.
func (w *lockWatch) recent(age time.Duration) (Locks, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) > age {
		w.last, w.err = w.read()
		w.at = time.Now()
	}
	return w.last, w.err
}

// exhausted adds the oldest transaction to an error of isExhausted, if that is known.
func (e *database) exhausted(err error) error {
	text := ""
	if l, err := e.locks.recent(failureAge); err == nil {
		text = ": " + l.String()
	}
	return &transientError{fmt.Errorf("the server has no room for more locks%s: "+
		"end that transaction, or raise max_pred_locks_per_transaction: %w", text, err)}
}

// Gauges implements [engine.Gauger]. The values of the server are missing if it does not answer.
func (e *database) Gauges() map[string]float64 {
	pool := e.pool.Stat()
	gauges := map[string]float64{
		"pool_connections":           float64(pool.TotalConns()),
		"pool_connections_used":      float64(pool.AcquiredConns()),
		"pool_connections_max":       float64(pool.MaxConns()),
		"pool_acquires_total":        float64(pool.AcquireCount()),
		"pool_waits_total":           float64(pool.EmptyAcquireCount()),
		"pool_waits_cancelled_total": float64(pool.CanceledAcquireCount()),
		"pool_wait_seconds_total":    pool.EmptyAcquireWaitTime().Seconds(),
		"pool_connects_total":        float64(pool.NewConnsCount()),
	}
	if l, err := e.locks.recent(fresh); err == nil {
		gauges["predicate_locks"] = float64(l.Held)
		gauges["predicate_locks_capacity"] = float64(l.Capacity)
		gauges["oldest_transaction_seconds"] = l.Age.Seconds()
	}
	return gauges
}

// Report implements [engine.Reporter].
func (e *database) Report(logger *slog.Logger) {
	if logger != nil {
		go e.locks.watch(logger)
	}
}

// committed is called for each commit.
func (w *lockWatch) committed() {
	if w.commits.Add(1)%checkCommits == 0 {
		select {
		case w.due <- struct{}{}:
		default: // a check is due already
		}
	}
}

// watch checks the table, and warns before it is full, until stop is closed.
func (w *lockWatch) watch(logger *slog.Logger) {
	var checked int64 // the number of commits at the last check
	var warned time.Time
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		case <-w.due:
		}
		n := w.commits.Load()
		if n == checked { // send no query to a database that is not used
			continue
		}
		checked = n
		l, err := w.recent(0)
		if err == nil && l.Held >= l.Capacity/2 &&
			(warned.IsZero() || time.Since(warned) >= warnEvery) {
			warned = time.Now()
			logger.Warn("the table of predicate locks fills up, "+
				"and when it is full all reads and writes fail: "+
				"end the oldest transaction, or raise max_pred_locks_per_transaction",
				slog.Int("held", l.Held), slog.Int("capacity", l.Capacity),
				slog.Duration("age", l.Age.Round(time.Second)), slog.String("oldest", l.Oldest))
		}
		select {
		case <-w.stop:
			return
		case <-time.After(checkPause):
		}
	}
}

// A tooLongError reports that the app's own SQL was open for longer than app_sql_timeout.
type tooLongError struct{ limit time.Duration }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the app's own SQL was open for more than %s, and was rolled back, "+
		"because the server has to keep the reads of all transactions meanwhile: "+
		"make it shorter, or write a larger app_sql_timeout in the URI", e.limit)
}

// Transient reports true, as for the server's own time-outs.
func (e *tooLongError) Transient() bool { return true }
