package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// newSite returns a database with a table of the app.
func newSite(tb testing.TB, options string) (db *storage.DB, conn *pgx.Conn, uri string) {
	tb.Helper()
	uri = pgtest.Database(tb)
	conn = connect(tb, uri)
	exec(tb, conn, `CREATE TABLE orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0 CHECK (n `+
		`< 1000000))`)
	db = openDB(tb, with(uri, options))
	tb.Cleanup(func() { _ = db.Close() })
	return db, conn, uri
}

// sqlDo runs the app's statements in the transaction of ctx.
func sqlDo(ctx context.Context, db *storage.DB, statements ...string) error {
	tx, err := postgres.Tx(ctx, db)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func TestTx(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, tt := range []struct {
		name    string
		f       func(ctx context.Context, db *storage.DB) error
		want    string // what the orders and the bucket are then
		wantErr string
	}{
		{"both commit", func(ctx context.Context, db *storage.DB) error {
			if err := put(ctx, db, "a", "1"); err != nil {
				return err
			}
			return sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`)
		}, "1:1 a=1", ""},
		{"neither commits", func(ctx context.Context, db *storage.DB) error {
			return errors.Join(put(ctx, db, "a", "1"),
				sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`), boom)
		}, "", "boom"},
		{"sql only", func(ctx context.Context, db *storage.DB) error {
			return sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`, `UPDATE orders SET n = n + 1`)
		}, "1:2", ""},
		{"a read is what the app sees, too", func(ctx context.Context, db *storage.DB) error {
			if _, err := get(ctx, db, "a"); err != nil {
				return err
			}
			if _, err := get(ctx, db, "b"); err != nil { // a snapshot
				return err
			}
			return errors.Join(sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`),
				put(ctx, db, "b", "2"))
		}, "1:1 b=2", ""},
		{"the same again", func(ctx context.Context, db *storage.DB) error {
			one, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			if two, err := postgres.Tx(ctx, db); two != one {
				return fmt.Errorf("got another one, %w", err)
			}
			return nil
		}, "", ""},
		{"an ignored error", func(ctx context.Context, db *storage.DB) error {
			_ = sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`,
				`INSERT INTO orders VALUES (1, 1)`)
			_ = sqlDo(ctx, db, `SELECT 1`)
			return put(ctx, db, "a", "1")
		}, "", `a statement failed earlier, its error was ignored, and the server refuses to ` +
			`commit: return the error, or run statements that may fail` +
			` between Begin and Rollback: ERROR: duplicate key value violates unique constraint ` +
			`"orders_pkey" (SQLSTATE 23505)`},
		{"an error in a savepoint", func(ctx context.Context, db *storage.DB) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			for i := range 3 {
				err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, 1)`, i); err != nil {
						return err
					}
					if i == 1 {
						_, err := tx.Exec(ctx, `INSERT INTO orders VALUES (0, 1)`)
						return err
					}
					return nil
				})
				if (err != nil) != (i == 1) {
					return err
				}
			}
			return nil
		}, "0:1 2:1", ""},
		{"rolled back to a savepoint", func(ctx context.Context, db *storage.DB) error {
			txn, _ := transaction.FromContext(ctx)
			if err := errors.Join(put(ctx, db, "a", "1"),
				sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`)); err != nil {
				return err
			}
			sp, err := txn.Savepoint()
			if err != nil {
				return err
			}
			for range 2 {
				if err := errors.Join(put(ctx, db, "a", "2"),
					sqlDo(ctx, db, `UPDATE orders SET n = 2`), sp.Rollback()); err != nil {
					return err
				}
			}
			return nil
		}, "1:1 a=1", ""},
		{"rolled back to before SQL", func(ctx context.Context, db *storage.DB) error {
			txn, _ := transaction.FromContext(ctx)
			if err := put(ctx, db, "a", "1"); err != nil {
				return err
			}
			sp, err := txn.Savepoint()
			if err != nil {
				return err
			}
			for range 2 {
				err := errors.Join(put(ctx, db, "a", "2"),
					sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`), sp.Rollback())
				if err != nil {
					return err
				}
			}
			return nil
		}, "a=1", ""},
		{"rolled back to before the first use", func(ctx context.Context, db *storage.DB) error {
			txn, _ := transaction.FromContext(ctx)
			sp, err := txn.Savepoint()
			if err != nil {
				return err
			}
			err = errors.Join(put(ctx, db, "a", "2"),
				sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`), sp.Rollback())
			return errors.Join(err, sqlDo(ctx, db, `INSERT INTO orders VALUES (2, 2)`))
		}, "2:2", ""},
		{"a savepoint heals an error", func(ctx context.Context, db *storage.DB) error {
			txn, _ := transaction.FromContext(ctx)
			if err := sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`); err != nil {
				return err
			}
			sp, err := txn.Savepoint()
			if err != nil {
				return err
			}
			if err := sqlDo(ctx, db, `INSERT INTO orders VALUES (1, 1)`); err == nil {
				return errors.New("inserted twice")
			}
			return sp.Rollback()
		}, "1:1", ""},
		{"a constraint at the end", func(ctx context.Context, db *storage.DB) error {
			return sqlDo(ctx, db, `CREATE TABLE parts (id int REFERENCES orders DEFERRABLE `+
				`INITIALLY DEFERRED)`, `INSERT INTO parts VALUES (7)`)
		}, "", "violates foreign key constraint"},
		{"everything that a pgx.Tx does", func(ctx context.Context, db *storage.DB) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"id"},
				pgx.CopyFromRows([][]any{{1}, {2}})); err != nil {
				return err
			}
			b := &pgx.Batch{}
			b.Queue(`UPDATE orders SET n = 5 WHERE id = $1`, 2)
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			if _, err := tx.Prepare(ctx, "twice",
				`UPDATE orders SET n = 2 * n WHERE id = $1`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "twice", 2); err != nil {
				return err
			}
			large := tx.LargeObjects()
			oid, err := large.Create(ctx, 0)
			if err != nil {
				return err
			}
			object, err := large.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(object, "text"); err != nil {
				return err
			}
			if tx.Conn().TypeMap() == nil {
				return errors.New("no types")
			}
			return object.Close()
		}, "1:0 2:10", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, conn, _ := newSite(t, "")
			err := transaction.Run(t.Context(),
				func(ctx context.Context) error { return tt.f(ctx, db) })
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(),
				tt.wantErr) {
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
			got := ask[string](t, conn, `SELECT trim(concat_ws(' ', (SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM orders),
				(SELECT string_agg(convert_from(key, 'UTF8') || '=' || convert_from(value, 'UTF8'), ' ' ORDER BY key) FROM pasteline_data)))`)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if busy := ask[int](t, conn, busyConnections); busy != 0 {
				until(t, conn, nobodyIdles)
			}
		})
	}
}

func TestTxByHand(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	run(t, func(ctx context.Context) error {
		tx, err := postgres.Tx(ctx, db)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES (1, 1)`); err != nil {
			return err
		}
		for _, text := range []string{
			"COMMIT", "commit;", "END", "ROLLBACK", " /* a */ rollback", "-- a\nABORT", "BEGIN",
			"START TRANSACTION", "PREPARE TRANSACTION 'a'",
			"SELECT 1; COMMIT", "COMMIT AND CHAIN", "ROLLBACK AND NO CHAIN",
			"ROLLBACK PREPARED 'a'",
		} {
			b := &pgx.Batch{}
			b.Queue("SELECT 1")
			b.Queue(text)
			_, execErr := tx.Exec(ctx, text)
			rows, queryErr := tx.Query(ctx, text)
			rows.Close()
			_, prepareErr := tx.Prepare(ctx, "p", text)
			for i, err := range []error{
				execErr, queryErr, rows.Err(), prepareErr, tx.QueryRow(ctx, text).Scan(),
				tx.SendBatch(ctx, b).Close(),
			} {
				if !errors.Is(err, postgres.ErrByHand) {
					t.Errorf("%s, way %d: got %v, want ErrByHand", text, i, err)
				}
			}
		}
		for _, f := range []func(context.Context) error{tx.Commit, tx.Rollback} {
			if err := f(ctx); !errors.Is(err, postgres.ErrByHand) {
				t.Errorf("got %v, want ErrByHand", err)
			}
		}
		return nil
	})
	if n := ask[int](t, conn, `SELECT n FROM orders`); n != 1 {
		t.Errorf("got %d, want what was done before all that", n)
	}
}

// The SQL transaction, and objects made from it, return errors after the end.
func TestTxEnded(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, tt := range []struct {
		name  string
		other bool // another database takes part, so that this one prepares
		err   error
	}{{"committed", false, nil}, {"rolled back", false, boom}, {"prepared", true, nil}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, conn, _ := newSite(t, "")
			other := memory.New("zzz")
			defer other.Close()
			var tx, nested pgx.Tx
			var large pgx.LargeObjects
			err := transaction.Run(t.Context(), func(ctx context.Context) (err error) {
				if tt.other {
					if err := put(ctx, other, "a", "1"); err != nil {
						return err
					}
				}
				if tx, err = postgres.Tx(ctx, db); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES (1, 1)`); err != nil {
					return err
				}
				nested, err = tx.Begin(ctx)
				large = tx.LargeObjects()
				return errors.Join(err, tt.err)
			})
			if !errors.Is(err, tt.err) {
				t.Fatal(err)
			}
			until(t, conn, nobodyIdles)
			ctx := t.Context()
			for _, tx := range []pgx.Tx{tx, nested} {
				_, beginErr := tx.Begin(ctx)
				_, execErr := tx.Exec(ctx, `SELECT 1`)
				rows, queryErr := tx.Query(ctx, `SELECT 1`)
				_, copyErr := tx.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"id"},
					pgx.CopyFromRows([][]any{{1}}))
				_, prepareErr := tx.Prepare(ctx, "p", `SELECT 1`)
				for i, err := range []error{
					beginErr, execErr, queryErr, rows.Err(), copyErr, prepareErr,
					tx.QueryRow(ctx, `SELECT 1`).Scan(), tx.SendBatch(ctx, &pgx.Batch{}).Close(),
				} {
					if !errors.Is(err, transaction.ErrEnded) {
						t.Errorf("way %d: got %v, want ErrEnded", i, err)
					}
				}
				if tx.Conn() != nil {
					t.Error("got a connection, which is somebody else's")
				}
			}
			if err := nested.Commit(ctx); !errors.Is(err, transaction.ErrEnded) {
				t.Errorf("commit of a savepoint: got %v, want ErrEnded", err)
			}
			if tt.other {
				return // of what was prepared pgx does not know that it has ended
			}
			if _, err := large.Create(ctx, 0); err == nil {
				t.Error("a large object was made in a connection that is somebody else's")
			}
		})
	}
}

func TestTxOfAnother(t *testing.T) {
	t.Parallel()
	db := memory.New("fast")
	defer db.Close()
	run(t, func(ctx context.Context) error {
		if _, err := postgres.Tx(ctx, db); err == nil || !strings.Contains(err.Error(),
			"fast is no PostgreSQL database") {
			t.Errorf("got %v, want that it is not PostgreSQL", err)
		}
		return nil
	})
	if _, err := postgres.Tx(t.Context(), db); !errors.Is(err, transaction.ErrNoTransaction) {
		t.Errorf("got %v, want ErrNoTransaction", err)
	}
}

// An error that the server reports as a conflict is transient, also wrapped, and the work is run
// again.
func TestTxTransient(t *testing.T) {
	t.Parallel()
	db, _, _ := newSite(t, "")
	for _, code := range []string{
		"40001", "40P01", "55P03", "57P01", "25P03", "25P04", "23505",
		"57014", "P0001",
	} {
		attempts := 0
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if attempts++; attempts > 1 {
				return nil
			}
			err := sqlDo(ctx, db,
				fmt.Sprintf(`DO $$ BEGIN RAISE 'now' USING ERRCODE = '%s'; END $$`, code))
			return fmt.Errorf("the app: %w", err)
		})
		passedOver := 0
		overErr := transaction.Run(t.Context(), func(ctx context.Context) error {
			if passedOver++; passedOver > 1 {
				return nil
			}
			_ = sqlDo(ctx, db,
				fmt.Sprintf(`DO $$ BEGIN RAISE 'now' USING ERRCODE = '%s'; END $$`, code))
			return nil
		})
		want := 2
		if code == "23505" || code == "57014" || code == "P0001" {
			want = 1
		}
		if attempts != want || passedOver != want || (err == nil) != (want == 2) ||
			(overErr == nil) != (want == 2) {
			t.Errorf("%s: got %d attempts, %v; passed over: %d, %v; want %d", code, attempts, err,
				passedOver, overErr, want)
		}
	}
}

func TestTxIncrements(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "pool_max_conns=16")
	exec(t, conn, `INSERT INTO orders VALUES (1, 0)`)
	const workers, each = 16, 5
	policy := transaction.Policy{Tries: 1000}
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() {
			for range each {
				if err := transaction.Run(t.Context(), func(ctx context.Context) error {
					return errors.Join(sqlDo(ctx, db, `UPDATE orders SET n = n + 1`),
						increment(ctx, db, "n"))
				}, policy); err != nil {
					t.Error(err)
				}
			}
		})
	}
	crowd.Wait()
	if n := ask[int](t, conn, `SELECT n FROM orders`); n != workers*each {
		t.Errorf("got %d in the table, want %d", n, workers*each)
	}
	run(t, func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		value, err := tx.Bucket("counters").Get([]byte("n"))
		if want := fmt.Sprint(marked, workers*each); string(value) != want {
			t.Errorf("got %s in the bucket, want %s", value, want)
		}
		return err
	})
}

// busyConnections counts connections of this package that are in a transaction or run a statement.
const busyConnections = `SELECT count(*) FROM pg_stat_activity WHERE datname = ` +
	`current_database() AND application_name = 'pasteline' AND state <> 'idle'`

// locksHeld counts locks of other connections on tables and keys.
const locksHeld = `SELECT count(*) FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND pid <> pg_backend_pid() AND mode <> 'SIReadLock'`

// A handler holds no connection between its calls, as far as possible, and no connection or lock
// after its end, however it ends.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	db, _, uri := newSite(t, "")
	conn := connect(t, uri)
	mustPut(t, db, "a", "1", "b", "1")
	connections := func() int {
		return ask[int](t, conn, `SELECT count(*) FROM pg_stat_activity WHERE datname = `+
			`current_database() AND application_name = 'pasteline'`)
	}
	before := connections()
	read := func(ctx context.Context) error { _, err := get(ctx, db, "a"); return err }
	snapshot := func(ctx context.Context) error { _, err := get(ctx, db, "b"); return err }
	sql := func(ctx context.Context) error {
		return sqlDo(ctx, db,
			`INSERT INTO orders VALUES (1, 1)`)
	}
	for _, tt := range []struct {
		name string
		do   []func(context.Context) error
		busy int
	}{
		{"nothing", nil, 0},
		{"one read", []func(context.Context) error{read, read}, 0},
		{"two reads", []func(context.Context) error{read, snapshot}, 1},
		{"write", []func(context.Context) error{
			read,
			func(ctx context.Context) error { return put(ctx, db, "a", "2") },
		}, 0},
		{"sql", []func(context.Context) error{read, sql}, 1},
	} {
		for _, end := range []string{"error", "panic", "veto", "cancel"} {
			ctx, cancel := context.WithCancel(t.Context())
			err := func() (err error) {
				defer func() {
					if v := recover(); v != nil {
						err = fmt.Errorf("panic: %v", v)
					}
				}()
				return transaction.Run(ctx, func(ctx context.Context) error {
					for _, f := range tt.do {
						if err := f(ctx); err != nil {
							t.Errorf("%s: %v", tt.name, err)
						}
					}
					if busy := ask[int](t, conn, busyConnections); busy != tt.busy {
						t.Errorf("%s: got %d busy connections, want %d", tt.name, busy, tt.busy)
					}
					switch end {
					case "panic":
						panic("oh")
					case "veto":
						txn, _ := transaction.FromContext(ctx)
						return txn.Doom()
					case "cancel":
						cancel()
					}
					return errors.New("no")
				})
			}()
			cancel()
			if err == nil {
				t.Errorf("%s, %s: got no error", tt.name, end)
			}
			until(t, conn, `SELECT (`+busyConnections+`) = 0 AND (`+locksHeld+`) = 0`)
		}
		if tt.do == nil && connections() != before {
			t.Errorf("nothing: got %d connections, want %d", connections(), before)
		}
	}
	if n := ask[int](t, conn, `SELECT count(*) FROM orders`); n != 0 {
		t.Errorf("got %d orders, want none", n)
	}
}

// A prepared statement whose result type has changed is prepared again.
func TestChangedTable(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "pool_max_conns=1")
	exec(t, conn, `INSERT INTO orders VALUES (1, 1)`)
	all := func() error {
		return transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			rows, err := tx.Query(ctx, `SELECT * FROM orders WHERE id = $1`, 1)
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowToMap)
			return err
		})
	}
	for range 2 {
		if err := all(); err != nil {
			t.Fatal(err)
		}
		exec(t, conn, `ALTER TABLE orders ADD COLUMN IF NOT EXISTS more text`)
	}
	if err := all(); err != nil {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			t.Errorf("routine %s", e.Routine)
		}
		t.Errorf("got %v, want that it is run again", err)
	}
}
