package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// One SQL transaction that stays open fills the server's table of predicate locks. The errors are
// transient and name that transaction; after its end, commits succeed again.
func TestPredicateLocksUsedUp(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "max_connections = 15",
		"max_prepared_transactions = 0",
		"max_pred_locks_per_transaction = 10", "max_pred_locks_per_relation = "+
			"100000", "max_pred_locks_per_page = 100000"))
	uri := server.CreateDatabase(t)
	holder := openDB(t, with(uri, "application_name=holder&pool_max_conns=2"))
	defer holder.Close()
	db := openDB(t, with(uri, "pool_max_conns=2"))
	defer db.Close()
	const keys = 2000
	run(t, func(ctx context.Context) error {
		for i := range keys {
			if err := put(ctx, db, fmt.Sprint(i), "0"); err != nil {
				return err
			}
		}
		return nil
	})
	ctx, held := transaction.Begin(t.Context())
	if err := sqlDo(ctx, holder, `SELECT * FROM pasteline_data`); err != nil {
		t.Fatal(err)
	}
	most := postgres.Locks{}
	var err error
	for i := 0; err == nil && i < keys; i++ {
		err = transaction.Run(t.Context(), func(ctx context.Context) error {
			key := fmt.Sprint(i)
			if _, err := get(ctx, db, key); err != nil {
				return err
			}
			return put(ctx, db, key, "1")
		}, transaction.Policy{Tries: 1})
		if i%50 == 0 || err != nil {
			l, err := postgres.ReadLocks(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			if l.Held > most.Held {
				most = l
			}
		}
	}
	if err == nil || !transaction.IsTransient(err) || !strings.Contains(err.Error(),
		"application 'holder'") {
		t.Errorf("got %v, want a transient error that names the holder", err)
	}
	if most.Held < most.Capacity/2 || !strings.Contains(most.Oldest, "holder") || most.Age <= 0 {
		t.Errorf("got %+v, want that most locks are held, because of the holder", most)
	}
	sqlErr := transaction.Run(t.Context(), func(ctx context.Context) error {
		return sqlDo(ctx, db, `SELECT count(*) FROM pasteline_data`,
			`SELECT * FROM pasteline_data WHERE key > '5'`)
	}, transaction.Policy{Tries: 1})
	if sqlErr != nil && !transaction.IsTransient(sqlErr) {
		t.Errorf("the app's own SQL: got %v, want a transient error, if any", sqlErr)
	}
	if err := held.Abort(ctx); err != nil {
		t.Error(err)
	}
	mustPut(t, db, "x", "1")
}

// Before the table is full, one warning is logged that names the oldest transaction, and metrics
// show the state.
func TestWarningOfPredicateLocks(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "max_pred_locks_per_relation = 100000",
		"max_pred_locks_per_page = 100000"))
	var log lockedBuffer
	opener := storage.NewOpener()
	opener.SetLogger(slog.New(slog.NewTextHandler(&log, nil)))
	postgres.Register(opener)
	db, err := opener.Open(t.Context(), server.CreateDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, held := transaction.Begin(t.Context())
	held.Note("/report")
	if err := sqlDo(ctx, db, `SELECT * FROM pasteline_data`); err != nil {
		t.Fatal(err)
	}
	const most = 5000
	for i := 0; i < most && !strings.Contains(log.String(), "predicate locks"); i++ {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			for j := range 5 {
				if _, err := get(ctx, db, fmt.Sprint(i, j)); err != nil {
					return err
				}
			}
			return put(ctx, db, fmt.Sprint(i), "1")
		}, transaction.Policy{Tries: 1})
		if err != nil {
			t.Fatalf("%d commits, then %v, and no warning", i, err)
		}
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 ||
		!strings.Contains(got, `the app's own SQL of \"/report\"`) {
		t.Errorf("got %q, want one warning that names the report", got)
	}
	gauges := opener.Gauges()[db.Name()]
	if held := gauges["predicate_locks"]; held == 0 || gauges["predicate_locks_capacity"] <= held ||
		gauges["oldest_transaction_seconds"] <= 0 || gauges["pool_connections"] == 0 ||
		gauges["pool_connections_max"] < gauges["pool_connections"] ||
		gauges["pool_acquires_total"] == 0 {
		t.Errorf("got %v", opener.Gauges())
	}
	if err := held.Abort(ctx); err != nil {
		t.Error(err)
	}
	if l, err := postgres.ReadLocks(t.Context(), db); err != nil ||
		strings.Contains(l.Oldest, "report") {
		t.Errorf("after the report: got %+v, %v", l, err)
	}
}

// lockedBuffer is a log that may be read concurrently.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestReadLocksOfAnother(t *testing.T) {
	t.Parallel()
	db := memory.New("fast")
	defer db.Close()
	if _, err := postgres.ReadLocks(t.Context(), db); err == nil || !strings.Contains(err.Error(),
		"fast is no PostgreSQL database") {
		t.Errorf("got %v, want that it is not PostgreSQL", err)
	}
}

// The app's SQL transaction that is open for longer than app_sql_timeout is rolled back, idle or
// running a statement, and the error is transient.
func TestAppSQLTimeout(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "app_sql_timeout=300ms")
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"idle", func(context.Context) error { until(t, conn, nobodyIdles); return nil }},
		{"idle, then a statement", func(ctx context.Context) error {
			until(t, conn, nobodyIdles)
			return sqlDo(ctx, db, `SELECT 1`)
		}},
		{
			"a statement",
			func(ctx context.Context) error { return sqlDo(ctx, db, `SELECT pg_sleep(30)`) },
		},
		{"a write", func(ctx context.Context) error {
			until(t, conn, nobodyIdles)
			return put(ctx,
				db, "left", "1")
		}},
	} {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if err := sqlDo(ctx, db, `INSERT INTO orders VALUES (1)`); err != nil {
				return err
			}
			return tt.do(ctx)
		}, transaction.Policy{Tries: 1})
		if err == nil || !transaction.IsTransient(err) || !strings.Contains(err.Error(),
			"open for more than 300ms") {
			t.Errorf("%s: got %v, want that it was open for too long", tt.name, err)
		}
	}
	if n := ask[int](t, conn,
		`SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM pasteline_data)`); n != 0 {
		t.Errorf("%d writes were kept", n)
	}
}
