package pgtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.Database(t))
			if n := ask[int](t, conn, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); n != 0 {
				t.Errorf("got %d tables in a new database, want none", n)
			}
			exec(t, conn, `CREATE TABLE t (n int)`, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
			if n := ask[int](t, conn, `SELECT n FROM t`); n != i {
				t.Errorf("got %d, want %d", n, i)
			}
		})
	}
}

// A database is dropped in spite of connections, locks and prepared transactions that a test has
// left.
func TestDatabaseIsDropped(t *testing.T) { //nolint:tparallel // what comes after its subtest is about the end of that
	t.Parallel()
	watching := connect(t, pgtest.Database(t))
	var name string
	var left *pgxpool.Pool
	t.Run("a test that leaves everything open", func(t *testing.T) {
		uri := pgtest.Database(t)
		conn, err := pgx.Connect(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		name = ask[string](t, conn, `SELECT current_database()`)
		gid := name + "'s"
		exec(t, conn, `CREATE TABLE t (n int)`, `BEGIN`, `INSERT INTO t VALUES (1)`,
			`PREPARE TRANSACTION '`+strings.ReplaceAll(gid, "'", "''")+`'`, `BEGIN`, `LOCK TABLE pg_class IN ROW EXCLUSIVE MODE`)
		if left, err = pgxpool.New(context.WithoutCancel(t.Context()), uri); err != nil {
			t.Fatal(err)
		}
		if err := left.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	left.Close()
	if n := ask[int](t, watching, `SELECT count(*) FROM pg_database WHERE datname = $1`, name); n != 0 {
		t.Errorf("%s is still there", name)
	}
	if n := ask[int](t, watching, `SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE $1 || '%'`, name); n != 0 {
		t.Errorf("its prepared transaction is still there")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	of := func(conn *pgx.Conn) map[string]string {
		got := map[string]string{}
		for _, name := range []string{"max_prepared_transactions", "max_connections", "fsync", "server_encoding", "lc_collate", "application_name"} {
			got[name] = ask[string](t, conn, `SELECT coalesce((SELECT setting FROM pg_settings WHERE name = $1), '')`, name)
		}
		return got
	}
	check := func(what string, got map[string]string, want string) {
		t.Helper()
		text := fmt.Sprintf("%s %s %s %s", got["max_prepared_transactions"], got["max_connections"], got["fsync"], got["server_encoding"])
		if text != want {
			t.Errorf("%s: got %s, want %s", what, text, want)
		}
	}
	check("shared", of(connect(t, pgtest.Database(t))), "100 200 off UTF8")
	check("own", of(connect(t, pgtest.Start(t).URI("postgres"))), "100 200 on UTF8")
	special := pgtest.Start(t, pgtest.Settings("max_prepared_transactions = 0", "max_connections = 7"), pgtest.Settings("fsync = off"))
	check("special", of(connect(t, special.URI("postgres"))), "0 7 off UTF8")
}

func TestKillAndStart(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	uri := s.CreateDatabase(t)
	conn := connect(t, uri)
	exec(t, conn, `CREATE TABLE t (n int)`, `INSERT INTO t VALUES (1)`,
		`BEGIN`, `INSERT INTO t VALUES (2)`, `PREPARE TRANSACTION 'two'`, `BEGIN`, `INSERT INTO t VALUES (3)`)

	// One connection runs a query when the server is killed.
	busy := make(chan error, 1)
	other := connect(t, uri)
	pid := ask[int](t, other, `SELECT pg_backend_pid()`)
	go func() {
		_, err := other.Exec(t.Context(), `SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b`)
		busy <- err
	}()
	watching := connect(t, uri)
	for ask[int](t, watching, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%generate_series%'`, pid) == 0 {
	}
	s.Kill()
	if err := <-busy; err == nil {
		t.Error("a query outlived the kill")
	}
	if _, err := conn.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("a connection outlived the kill")
	}

	s.Start()
	conn = connect(t, uri)
	if n := ask[int](t, conn, `SELECT sum(n) FROM t`); n != 1 {
		t.Errorf("got %d, want what was committed, 1", n)
	}
	exec(t, conn, `COMMIT PREPARED 'two'`)
	s.Stop()
	s.Start()
	if n := ask[int](t, connect(t, uri), `SELECT sum(n) FROM t`); n != 3 {
		t.Errorf("got %d, want 3", n)
	}
	for _, want := range []string{"automatic recovery in progress", "received fast shutdown request"} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the log does not say %q:\n%s", want, s.Log())
		}
	}
}
