package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// Acknowledged commits survive a kill of the server, though it is configured not to wait for the
// disk: commits of one database, of two, and with the app's own SQL, even if the app asks for less.
// (With fsync off the server still writes each durable commit to its files, which survive the
// kill.)
func TestDurableCommits(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off",
		"synchronous_commit = off", "wal_writer_delay = 10s", "wal_writer_flush_after = 1GB"))
	for _, tt := range []struct {
		name, options string
		two           bool // the database decides over the prepared work of another one
		sql           []string
	}{
		{"one", "", false, nil},
		{"sql", "", false, []string{
			`SET LOCAL synchronous_commit = off`,
			`CREATE TABLE orders (id int)`,
		}},
		{"two", "", true, nil},
		{"two, less durable", "synchronous_commit=off", true, nil},
		{
			"two, sql", "synchronous_commit=local", true,
			[]string{`SET LOCAL synchronous_commit = off`, `CREATE TABLE orders (id int)`},
		},
	} {
		if testing.Short() && tt.name != "two, sql" {
			continue
		}
		func() { // one after the other, because a later commit makes the earlier ones durable
			uri := server.CreateDatabase(t)
			db := openDB(t, with(uri, strings.TrimSuffix("table_prefix=decides_&"+tt.options, "&")))
			defer db.Close()
			mustPut(t, db, "warm", "1")
			dbs := []*storage.DB{db}
			if tt.two {
				other := openDB(t, pgtest.Database(t))
				defer other.Close()
				dbs = append(dbs, other)
			}
			run(t, func(ctx context.Context) error {
				if tt.sql != nil {
					if err := sqlDo(ctx, db, tt.sql...); err != nil {
						return err
					}
				}
				var errs []error
				for _, db := range dbs {
					errs = append(errs, put(ctx, db, "a", "1"))
				}
				return errors.Join(errs...)
			})
			server.Kill()
			server.Start()
			if n := ask[int](t, connect(t, uri),
				`SELECT count(*) FROM decides_data WHERE convert_from(key, 'UTF8') = 'a'`); n != 1 {
				t.Errorf("%s: an acknowledged commit is lost", tt.name)
			}
		}()
	}
}

// The error for lack of room for another prepared transaction is transient.
func TestPreparedFull(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "max_prepared_transactions = 1"))
	uri := server.CreateDatabase(t)
	db := openDB(t, uri)
	t.Cleanup(func() { _ = db.Close() })
	conn := connect(t, uri)
	exec(t, conn, `CREATE TABLE orders (id int)`, `BEGIN`, `INSERT INTO orders VALUES (1)`,
		`PREPARE TRANSACTION 'other'`)
	l := &last{recorder: strings.Repeat("D", 64)}
	err := decide(t.Context(), db, l, "a", "1")
	if !transaction.IsTransient(err) || !strings.Contains(err.Error(),
		"max_prepared_transactions") {
		t.Errorf("got %v, want that it is full, which is transient", err)
	}
	exec(t, conn, `COMMIT PREPARED 'other'`)
	if err := decide(t.Context(), db, l, "a", "1"); err != nil {
		t.Error(err)
	}
}

// A transaction that the server can't prepare fails, and none of it is kept.
func TestNotToBePrepared(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	for _, statement := range []string{
		`NOTIFY a`, `LISTEN a`, `CREATE TEMP TABLE t (n int)`,
		`DECLARE c CURSOR WITH HOLD FOR SELECT 1`,
	} {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if err := sqlDo(ctx, db, statement); err != nil {
				return err
			}
			txn, _ := transaction.FromContext(ctx)
			return errors.Join(put(ctx, db, "a", "1"),
				txn.Join(&last{recorder: strings.Repeat("D", 64)}))
		})
		if err == nil || !strings.Contains(err.Error(), "cannot PREPARE a transaction") {
			t.Errorf("%s: got %v, want that it can't be prepared", statement, err)
		}
	}
	if n := ask[int](t, conn, `SELECT count(*) FROM pasteline_data`); n != 0 {
		t.Errorf("got %d rows, want none", n)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "",
		"-c a=1":                          "a=1",
		"-ca=1  --work-mem=2MB":           "a=1 work_mem=2MB",
		`-c search_path=a\ b\\ -c x=`:     `search_path=a b\ x=`,
		"-c log_connections=on":           "no",
		"-c":                              "no",
		"-B 10":                           "no",
		"-c a":                            "no",
		"--statement-timeout=5s -c a=b=c": "a=b=c statement_timeout=5s",
	} {
		if got := postgres.Flags(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
