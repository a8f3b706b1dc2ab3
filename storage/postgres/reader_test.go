package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// endings are the ways in which a server may forget the reads of an open transaction. Each gets a
// connection, over which it ends the transaction of the application "reader".
var endings = []struct {
	name    string
	options string
	end     func(*testing.T, *pgx.Conn, *proxy)
}{
	{
		"idle time-out", "idle_in_transaction_session_timeout=200ms",
		func(*testing.T, *pgx.Conn, *proxy) {},
	},
	// PostgreSQL 17 and later
	{"transaction time-out", "transaction_timeout=500ms", func(*testing.T, *pgx.Conn, *proxy) {}},
	{"terminated", "", func(t *testing.T, conn *pgx.Conn, _ *proxy) {
		t.Helper()
		exec(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'reader' AND datname = current_database() AND state LIKE 'idle in transaction%'`)
	}},
	{"connection cut", "", func(_ *testing.T, _ *pgx.Conn, p *proxy) { p.cut() }},
}

const readerGone = `SELECT NOT EXISTS (SELECT FROM pg_stat_activity
	WHERE application_name = 'reader' AND datname = current_database() AND state LIKE 'idle in transaction%')`

// A transaction that only read must not succeed after the server has ended its snapshot and
// forgotten its reads. Here the first transaction reads y before the second changes it, so it comes
// first; the reader comes after the second, and before the first, which changes x after the reader
// has read it. That is a cycle.
func TestReaderWhoseSnapshotIsLost(t *testing.T) {
	t.Parallel()
	for _, tt := range endings {
		for _, snapshot := range []string{"lazy", "first"} {
			t.Run(tt.name+", snapshot="+snapshot, func(t *testing.T) {
				t.Parallel()
				uri := pgtest.Database(t)
				conn := connect(t, uri)
				if strings.HasPrefix(tt.options, "transaction_timeout") &&
					!ask[bool](t, conn,
						`SELECT current_setting('transaction_timeout', true) IS NOT NULL`) {
					t.Skip("this server has no transaction_timeout, which came with PostgreSQL 17")
				}
				p, through := newProxy(t, uri)
				db := openDB(t, uri)
				defer db.Close()
				reader := openDB(t,
					with(through, "application_name=reader&snapshot="+snapshot+"&"+tt.options))
				defer reader.Close()
				mustPut(t, db, "x", "0", "y", "0")

				ctx1, t1 := transaction.Begin(t.Context())
				if _, err := postgres.Tx(ctx1, db); err != nil {
					t.Fatal(err)
				}
				for _, key := range []string{"x", "y"} {
					if _, err := get(ctx1, db, key); err != nil {
						t.Fatal(err)
					}
				}
				mustPut(t, db, "y", "1")
				attempts, saw := 0, ""
				var err1 error
				err3 := transaction.Run(t.Context(), func(ctx context.Context) error {
					attempts++
					saw = ""
					for _, key := range []string{"y", "x"} {
						value, err := get(ctx, reader, key)
						if err != nil {
							return err
						}
						saw += value
					}
					if attempts > 1 {
						return nil
					}
					tt.end(t, conn, p)
					until(t, conn, readerGone)
					if err := put(ctx1, db, "x", "1"); err != nil {
						return err
					}
					err1 = t1.Commit(ctx1)
					return nil
				})
				if err3 != nil {
					t.Fatalf("got %v after %d attempts, want success", err3, attempts)
				}
				if attempts < 2 {
					t.Errorf("got success at once for a snapshot that was lost, and %v for who "+
						"wrote", err1)
				}
				if err1 == nil && saw != "11" {
					t.Errorf("got y and x = %s, want 11, which has been committed", saw)
				}
			})
		}
	}
}
