package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// get reads a key of the bucket "b".
func get(ctx context.Context, db *storage.DB, key string) (string, error) {
	tx, err := db.Tx(ctx)
	if err != nil {
		return "", err
	}
	value, err := tx.Bucket("b").Get([]byte(key))
	return string(value), err
}

func put(ctx context.Context, db *storage.DB, key, value string) error {
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	return tx.Bucket("b").Put([]byte(key), []byte(value))
}

// run runs f in a transaction, and fails the test if that fails.
func run(tb testing.TB, f func(ctx context.Context) error) {
	tb.Helper()
	if err := transaction.Run(tb.Context(), f); err != nil {
		tb.Fatal(err)
	}
}

// mustPut commits keys and values.
func mustPut(tb testing.TB, db *storage.DB, pairs ...string) {
	tb.Helper()
	run(tb, func(ctx context.Context) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := put(ctx, db, pairs[i], pairs[i+1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// until repeats a query until it returns true.
func until(tb testing.TB, conn *pgx.Conn, query string, args ...any) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ask[bool](tb, conn, query, args...) {
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatalf("never: %s", query)
		}
	}
}

// holdY makes every commit that writes the key y wait until free is called.
func holdY(tb testing.TB, conn *pgx.Conn) (free func()) {
	tb.Helper()
	exec(tb, conn, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.key = 'y' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER hold BEFORE INSERT ON pasteline_data FOR EACH ROW EXECUTE FUNCTION hold()`,
		`SELECT pg_advisory_lock(1)`)
	return func() { exec(tb, conn, `SELECT pg_advisory_unlock(1)`) }
}

const (
	someoneWaits = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT ` +
		`oid FROM pg_database WHERE datname = current_database()))`
	nobodyIdles = `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE state LIKE 'idle in ` +
		`transaction%' AND datname = current_database())`
)

// The anomaly of read-only transactions: one transaction has read x and is about to write y,
// another one changes x and commits, and a reader sees that, but not y. Then the first must not
// commit as if it came before the second.
func TestReadersAreSerializable(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", "snapshot=first"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			uri := pgtest.Database(t)
			db := openDB(t, with(uri, options))
			defer db.Close()
			conn, watch := connect(t, uri), connect(t, uri)
			mustPut(t, db, "x", "0", "y", "0")
			free := holdY(t, conn)
			saw := ""
			done := make(chan error, 1)
			go func() {
				done <- transaction.Run(t.Context(), func(ctx context.Context) (err error) {
					if saw, err = get(ctx, db, "x"); err != nil {
						return err
					}
					return put(ctx, db, "y", "1")
				})
			}()
			until(t, watch, someoneWaits)
			mustPut(t, db, "x", "1")
			run(t, func(ctx context.Context) error {
				x, err := get(ctx, db, "x")
				if err != nil {
					return err
				}
				if y, err := get(ctx, db, "y"); x+y != "10" {
					return fmt.Errorf("got x=%s, y=%s, %w, want 1 and 0", x, y, err)
				}
				return nil
			})
			until(t, watch, nobodyIdles)
			free()
			if err := <-done; err != nil || saw != "1" {
				t.Errorf("got %v, having seen x=%s, want 1: somebody has seen that, but not what "+
					"is written because of x", err, saw)
			}
		})
	}
}

// With one connection, no operation needs a second one: neither the query for the changed key of a
// range, nor the look-up after a lost answer.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db, other := openDB(t, with(uri, "pool_max_conns=1&acquire_timeout=100ms")), openDB(t,
		with(uri, "application_name=other"))
	defer db.Close()
	defer other.Close()
	mustPut(t, other, "a", "1", "b", "1", "c", "1")
	for _, first := range []bool{true, false} { // whether the commit finds out, or the second read
		ctx, txn := transaction.Begin(t.Context())
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range tx.Bucket("b").Range(storage.Range{}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		mustPut(t, other, "b", fmt.Sprint(first))
		if first {
			if err := put(ctx, db, "z", "1"); err != nil {
				t.Fatal(err)
			}
			err = txn.Commit(ctx)
		} else {
			_, err = tx.Bucket("other").Get([]byte("a"))
		}
		if err == nil || !strings.Contains(err.Error(), `key "b"`) ||
			!transaction.IsTransient(err) {
			t.Errorf("got %v, want a conflict that names b", err)
		}
		if err := txn.Abort(ctx); err != nil {
			t.Error(err)
		}
	}
}

// An error that the server reports only at the end of the transaction, as a serialization failure
// may be, fails the commit.
func TestErrorAtTheEnd(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openDB(t, uri)
	defer db.Close()
	mustPut(t, db, "x", "0")
	conn := connect(t, uri)
	const records = `SELECT count(*) FROM pasteline_decisions`
	before := ask[int](t, conn, records)
	exec(t, conn, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE `+
		`'too late'; END $$`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON pasteline_data DEFERRABLE `+
			`INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	// with two reads, a snapshot is ended in the same round trip
	for _, reads := range []int{0, 1, 2} {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			for i := range reads {
				if _, err := get(ctx, db, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return put(ctx, db, "x", "1")
		})
		if err == nil || !strings.Contains(err.Error(), "too late") ||
			transaction.IsTransient(err) {
			t.Errorf("%d reads: got %v, want the error, which is not transient", reads, err)
		}
	}
	if n := ask[int](t, conn, records); n != before {
		t.Errorf("got %d records of commits, want %d", n, before)
	}
}

// A statement waits for a lock for lock_timeout, once in an attempt.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off"))
	uri := server.CreateDatabase(t)
	db := openDB(t, with(uri, "lock_timeout=20ms"))
	defer db.Close()
	mustPut(t, db, "x", "0")
	conn := connect(t, uri)
	exec(t, conn, `BEGIN`, `SELECT * FROM pasteline_data FOR UPDATE`)
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		return put(ctx, db, "x",
			"1")
	}, transaction.Policy{Tries: 1})
	if !transaction.IsTransient(err) || !strings.Contains(err.Error(), "lock timeout") {
		t.Errorf("got %v, want that of a lock timeout, which is transient", err)
	}
	exec(t, conn, `DO $$ BEGIN RAISE LOG 'this is the end'; END $$`)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(server.Log(), "this is the end") {
		<-tick.C
	}
	if n := strings.Count(server.Log(), "canceling statement due to lock timeout"); n != 1 {
		t.Errorf("got %d lock timeouts, want 1", n)
	}
	exec(t, conn, `ROLLBACK`)
	mustPut(t, db, "x", "1")
}

// After a failed read the snapshot is unusable. A commit with writes does not need it; without
// writes, the earlier reads are not valid any more, and the commit fails.
func TestCommitAfterFailedRead(t *testing.T) {
	t.Parallel()
	for _, register := range []func(*storage.Opener){postgres.Register, postgres.RegisterSimple} {
		uri := pgtest.Database(t)
		conn := connect(t, uri)
		made := openDB(t, with(uri, "application_name=first"))
		mustPut(t, made, "bad", "1")
		if err := made.Close(); err != nil {
			t.Fatal(err)
		}
		role := "reader_of_" + ask[string](t, conn, `SELECT current_database()`)
		exec(t, conn, `CREATE ROLE `+role+` LOGIN`,
			`GRANT ALL ON ALL TABLES IN SCHEMA public TO `+role,
			`CREATE FUNCTION good(key bytea) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF key = `+
				`'bad' THEN RAISE 'bad'; END IF; RETURN true; END $$`,
			`CREATE POLICY good ON pasteline_data USING `+
				`(good(key))`, `ALTER TABLE pasteline_data ENABLE ROW LEVEL SECURITY`)
		db := openAs(t, strings.Replace(uri, "postgres@", role+"@", 1), register)
		read := func(ctx context.Context) error {
			for _, key := range []string{"a", "b"} {
				if _, err := get(ctx, db, key); err != nil {
					return err
				}
			}
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			for _, err := range tx.Bucket("b").Range(storage.Range{}) {
				if err == nil || !strings.Contains(err.Error(), "bad") {
					t.Errorf("got %v, want the server's error", err)
				}
			}
			return nil
		}
		run(t, func(ctx context.Context) error {
			return errors.Join(read(ctx),
				put(ctx, db, "d", "1"))
		})
		if err := transaction.Run(t.Context(), read); err == nil ||
			!strings.Contains(err.Error(), "bad") {
			t.Errorf("got %v, want the error that was passed over", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
