package mariadbtest_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
)

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := open(t, mariadbtest.Database(t))
			for _, statement := range []string{`CREATE TABLE t (n int)`, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i)} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			var n int
			if err := db.QueryRowContext(t.Context(), `SELECT n FROM t`).Scan(&n); err != nil || n != i {
				t.Errorf("got %d, %v, want %d", n, err, i)
			}
		})
	}
}

// What is promised of a server without system tables.
func TestTransactions(t *testing.T) {
	t.Parallel()
	db := open(t, mariadbtest.Database(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range []string{
		`CREATE TABLE t (n int PRIMARY KEY)`,
		`BEGIN`, `INSERT INTO t VALUES (1)`, `ROLLBACK`,
		`BEGIN`, `INSERT INTO t VALUES (2)`, `SAVEPOINT s`, `INSERT INTO t VALUES (3)`, `ROLLBACK TO s`, `COMMIT`,
		`XA START 'mariadbtest'`, `INSERT INTO t VALUES (4)`, `XA END 'mariadbtest'`, `XA PREPARE 'mariadbtest'`, `XA COMMIT 'mariadbtest'`,
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	var got, engine string
	err = conn.QueryRowContext(t.Context(), `SELECT group_concat(n ORDER BY n), (SELECT engine FROM information_schema.tables
		WHERE table_schema = database()) FROM t`).Scan(&got, &engine)
	if err != nil || got != "2,4" || engine != "InnoDB" {
		t.Errorf("got %s in %s, %v, want 2,4 in InnoDB", got, engine, err)
	}
}

// A transaction that a test has left prepared is in nobody's way, nor in that of the end of the process.
func TestLeftPrepared(t *testing.T) {
	t.Parallel()
	conn, err := open(t, mariadbtest.Database(t)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var xid string
	if err := conn.QueryRowContext(t.Context(), `SELECT database()`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE TABLE t (n int)`, `XA START '` + xid + `'`, `INSERT INTO t VALUES (1)`, `XA END '` + xid + `'`, `XA PREPARE '` + xid + `'`,
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
