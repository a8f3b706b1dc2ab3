package sqltx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

// A server is a kind of database, and how to get an empty one.
type server struct {
	name   string
	driver string
	source func(testing.TB) string
}

// sqliteDeferred is SQLite as it is by default: a lock for writing is taken by the first write.
func sqliteDeferred(tb testing.TB) string {
	tb.Helper()
	return "file:" + filepath.Join(tb.TempDir(), "test.db") +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=busy_timeout(5000)"
}

func sqliteImmediate(tb testing.TB) string {
	tb.Helper()
	return sqliteDeferred(tb) + "&_txlock=immediate"
}

var servers = []server{
	{"sqlite", "sqlite", sqliteImmediate},
	{"sqlite-deferred", "sqlite", sqliteDeferred},
	{"postgres", "pgx", pgtest.Database},
	{"mariadb", "mysql", mariadbtest.Database},
}

// env is a database with a table of counters, of which "a" and "b" are 0.
type env struct {
	server
	t    *testing.T
	dsn  string
	pool *sql.DB
	db   *sqltx.DB
}

// onAll runs a test on all kinds of database, or on those named.
func onAll(t *testing.T, options sqltx.Options, test func(e *env), only ...string) {
	t.Helper()
	for _, s := range servers {
		if len(only) > 0 && !slices.Contains(only, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(newEnv(t, s, options))
		})
	}
}

func newEnv(t *testing.T, s server, options sqltx.Options) *env {
	t.Helper()
	e := &env{server: s, t: t, dsn: s.source(t)}
	e.pool = openPool(t, e.driver, e.dsn)
	if options.Name == "" {
		options.Name = s.name
	}
	e.db = newDB(t, e.pool, options)
	for _, query := range []string{
		"CREATE TABLE counter (name VARCHAR(20) NOT NULL PRIMARY KEY, n BIGINT NOT NULL)",
		"INSERT INTO counter (name, n) VALUES ('a', 0), ('b', 0)",
	} {
		if _, err := e.pool.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// openPool opens a pool; whatever a test does, no connection of it stays in use.
func openPool(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := pool.Stats().InUse; n != 0 {
			t.Errorf("%d connections are still in use", n)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool
}

func newDB(t *testing.T, pool *sql.DB, options sqltx.Options) *sqltx.DB {
	t.Helper()
	db, err := sqltx.New(t.Context(), pool, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func (e *env) tx(t *testing.T, ctx context.Context) *sqltx.Tx { //nolint:revive // t comes first
	t.Helper()
	tx, err := e.db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// sql writes the statement's parameters as the driver wants them.
func (e *env) sql(query string) string {
	if e.driver != "pgx" {
		return query
	}
	n := 0
	return regexp.MustCompile(`\?`).ReplaceAllStringFunc(query, func(string) string {
		n++
		return fmt.Sprintf("$%d", n)
	})
}

// add reads a counter and writes it, as an app would that has to compute in between.
func (e *env) add(ctx context.Context, name string, n int) error {
	tx, err := e.db.Tx(ctx)
	if err != nil {
		return err
	}
	var have int
	if err := tx.QueryRowContext(ctx, e.sql("SELECT n FROM counter WHERE name = ?"), name).Scan(&have); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, e.sql("UPDATE counter SET n = ? WHERE name = ?"), have+n, name)
	return err
}

// value returns a counter as everybody sees it.
func (e *env) value(t *testing.T, name string) (n int) {
	t.Helper()
	err := e.pool.QueryRowContext(t.Context(), e.sql("SELECT n FROM counter WHERE name = ?"), name).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (e *env) want(t *testing.T, name string, want int) {
	t.Helper()
	if got := e.value(t, name); got != want {
		t.Errorf("%s: got %d, want %d", name, got, want)
	}
}

// records returns how many commits are recorded.
func (e *env) records(t *testing.T) (n int) {
	t.Helper()
	err := e.pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pasteline_decided WHERE outcome = 'committed'").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var patient = transaction.Policy{Tries: 1000, Delay: time.Millisecond, MaxDelay: 50 * time.Millisecond, Jitter: 1}

var once = transaction.Policy{Tries: 1}

var errApp = errors.New("the app has failed")
