package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// ignored is the line with the start-up parameters that users of PgBouncer commonly let it ignore.
const ignored = "ignore_startup_parameters = " +
	"extra_float_digits,options,default_transaction_isolation,statement_timeout,lock_timeout," +
	"idle_in_transaction_session_timeout"

// twoWriters runs two concurrent transactions, each of which reads x and y and writes one of them.
// It returns the number of commits, and the errors; two commits would be a write skew.
func twoWriters(t *testing.T, db *storage.DB, errs []error) (committed int) {
	t.Helper()
	var both, read sync.WaitGroup
	read.Add(2)
	for i, key := range []string{"x", "y"} {
		both.Go(func() {
			errs[i] = transaction.Run(t.Context(), func(ctx context.Context) error {
				_, errX := get(ctx, db, "x")
				_, errY := get(ctx, db, "y")
				read.Done()
				read.Wait()
				return errors.Join(errX, errY, put(ctx, db, key, "changed"))
			}, transaction.Policy{Tries: 1})
		})
	}
	both.Wait()
	for _, err := range errs {
		if err == nil {
			committed++
		}
	}
	return committed
}

// A pooler that leaves a client its session needs no further configuration, with or without
// ignore_startup_parameters.
func TestPoolerSession(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options string
		lines         []string
	}{
		{"defaults", "work_mem=9MB", nil},
		{"ignore_startup_parameters", "work_mem=9MB", []string{ignored}},
		{"exec", "work_mem=9MB&default_query_exec_mode=exec", nil},
		{"simple_protocol", "work_mem=9MB&default_query_exec_mode=simple_protocol", nil},
		{"flags", "options=-c%20work_mem%3D9MB", nil},
		{"flags, ignored", "options=-c%20work_mem%3D9MB", []string{ignored}},
		{"round robin", "work_mem=9MB", []string{"server_round_robin = 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bouncer := pgtest.StartBouncer(t, pgtest.Database(t), tt.lines...)
			db := openDB(t, with(bouncer.URI(), tt.options+"&pool_max_conns=3"))
			t.Cleanup(func() { _ = db.Close() })
			committed := 0
			for range 8 {
				errs := make([]error, 2)
				n := twoWriters(t, db, errs)
				for _, err := range errs {
					if n > 1 || err != nil && !transaction.IsTransient(err) {
						t.Errorf("%d of two transactions were committed that exclude each other: "+
							"%v", n, err)
					}
				}
				committed += n
			}
			if committed == 0 {
				t.Error("none was committed")
			}
			run(t, func(ctx context.Context) error {
				tx, err := postgres.Tx(ctx, db)
				if err != nil {
					return err
				}
				got := ""
				err = tx.QueryRow(ctx, `SELECT concat_ws(' ', current_setting('transaction_isolation'), current_setting('statement_timeout'),
					current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'), current_setting('work_mem'),
					current_setting('application_name'))`).Scan(&got)
				if want := "serializable 30s 5s 1min 9MB pasteline"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				return err
			})
			testPoolerLocks(t, db)
		})
	}
}

// testPoolerLocks uses the features that hold locks as long as a session lasts: a ticket for a key,
// a named lock, and a prepared transaction.
func testPoolerLocks(t *testing.T, db *storage.DB) {
	t.Helper()
	const crowd, each = 4, 3
	var workers sync.WaitGroup
	for range crowd {
		workers.Go(func() {
			for range each {
				if err := transaction.Run(t.Context(),
					func(ctx context.Context) error { return increment(ctx, db, "n") }); err !=
					nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	unlock, ok, err := db.TryLock(t.Context(), "sweep")
	if err != nil || !ok {
		t.Fatalf("got %t, %v, want the lock", ok, err)
	}
	if _, again, err := db.TryLock(t.Context(), "sweep"); err != nil || again {
		t.Errorf("got %t, %v, want that the lock is taken", again, err)
	}
	unlock()
	if _, err := inDoubt(t.Context(), db, "doubt", "1"); err != nil {
		t.Fatal(err)
	}
	// of this process, which does not settle it any more
	if list := prepared(t, db); len(list) != 1 || !list[0].Orphan {
		t.Errorf("got %v, want one that is prepared", list)
	}
}

// A pooler that uses another session for each transaction is refused when the database is opened,
// with one line.
func TestPoolerRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options string
		lines         []string
		load          int // other busy clients of the pooler
	}{
		{"transaction", "", []string{"pool_mode = transaction"}, 0},
		{"statement", "", []string{"pool_mode = statement"}, 0},
		{"ignore_startup_parameters", "", []string{"pool_mode = transaction", ignored}, 0},
		{"exec", "default_query_exec_mode=exec", []string{"pool_mode = transaction", ignored}, 0},
		{"one connection", "", []string{"pool_mode = transaction", "default_pool_size = 1"}, 0},
		{"round robin", "", []string{"pool_mode = transaction", "server_round_robin = 1"}, 0},
		{"load", "", []string{"pool_mode = transaction"}, 6},
		{"load, round robin", "default_query_exec_mode=exec", []string{
			"pool_mode = transaction",
			"server_round_robin = 1", ignored,
		}, 6},
		{"more load than connections", "", []string{
			"pool_mode = transaction",
			"default_pool_size = 3",
		}, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bouncer := pgtest.StartBouncer(t, pgtest.Database(t), tt.lines...)
			ctx, stop := context.WithCancel(t.Context())
			var load sync.WaitGroup
			defer func() { stop(); load.Wait() }()
			for range tt.load {
				other := connect(t, with(bouncer.URI(), "default_query_exec_mode=simple_protocol"))
				exec(t, other, `SELECT 1`)
				load.Go(func() {
					for ctx.Err() == nil {
						if _, err := other.Exec(t.Context(),
							`BEGIN; SELECT pg_sleep(random() / 1000); COMMIT`); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 3 {
				opener := storage.NewOpener()
				postgres.Register(opener)
				db, err := opener.Open(engine.DryRun(t.Context()), with(bouncer.URI(), tt.options))
				if err == nil {
					_ = db.Close()
				}
				if err == nil || !strings.Contains(err.Error(),
					"PgBouncer in mode transaction or statement") ||
					!strings.Contains(err.Error(), "set pool_mode = session") ||
					strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want one line that names pooler and remedy", err)
				}
			}
		})
	}
}

// After the mode of a pooler has changed, no transaction is committed that is not serializable, and
// new connections are refused.
func TestPoolerChangesItsMode(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", "default_query_exec_mode=exec"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			bouncer := pgtest.StartBouncer(t, pgtest.Database(t))
			db := openDB(t, with(bouncer.URI(), options))
			t.Cleanup(func() { _ = db.Close() })
			mustPut(t, db, "x", "1")
			exec(t, connect(t, bouncer.Admin()), `SET pool_mode = transaction`)
			refused := 0
			for range 4 {
				// replaces the sessions that are not in use
				exec(t, connect(t, bouncer.Admin()), `RECONNECT`)
				errs := make([]error, 2)
				n := twoWriters(t, db, errs)
				if n > 1 {
					t.Error("got a write skew")
				}
				for _, err := range errs {
					if err == nil || transaction.IsTransient(err) {
						continue
					}
					refused++
					if !strings.Contains(err.Error(), "set pool_mode = session") {
						t.Errorf("got %v, want the remedy", err)
					}
				}
			}
			if refused == 0 {
				t.Error("no transaction was refused")
			}
		})
	}
}
