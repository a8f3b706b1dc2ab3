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

// ignored are the start-up parameters that users of PgBouncer are told to have it ignore.
const ignored = "ignore_startup_parameters = extra_float_digits,options,default_transaction_isolation,statement_timeout,lock_timeout," +
	"idle_in_transaction_session_timeout"

// twoWriters runs two transactions at once, each of which reads x and y and writes one of them. It
// returns how many of them were committed, and their errors; if both were, that is a write skew.
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

// A pooler that leaves a client its session works as it is, and whether it ignores what it does not
// know or not.
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
			for range 20 {
				errs := make([]error, 2)
				n := twoWriters(t, db, errs)
				for _, err := range errs {
					if n > 1 || err != nil && !transaction.IsTransient(err) {
						t.Errorf("%d of two transactions were committed that exclude each other: %v", n, err)
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

// testPoolerLocks does what holds locks as long as a session lasts: turns on a key, a lock of a
// name, and a transaction that is prepared.
func testPoolerLocks(t *testing.T, db *storage.DB) {
	t.Helper()
	const crowd, each = 4, 3
	var workers sync.WaitGroup
	for range crowd {
		workers.Go(func() {
			for range each {
				if err := transaction.Run(t.Context(), func(ctx context.Context) error { return increment(ctx, db, "n") }); err != nil {
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
	if list := prepared(t, db); len(list) != 1 || !list[0].Orphan { // of this process, which is not at it any more
		t.Errorf("got %v, want one that is prepared", list)
	}
}

// A pooler that gives the session away after each transaction is refused before anything is done,
// by one line.
func TestPoolerRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options string
		lines         []string
		load          int // other clients of the pooler, which are at work
	}{
		{"transaction", "", []string{"pool_mode = transaction"}, 0},
		{"statement", "", []string{"pool_mode = statement"}, 0},
		{"ignore_startup_parameters", "", []string{"pool_mode = transaction", ignored}, 0},
		{"exec", "default_query_exec_mode=exec", []string{"pool_mode = transaction", ignored}, 0},
		{"one connection", "", []string{"pool_mode = transaction", "default_pool_size = 1"}, 0},
		{"round robin", "", []string{"pool_mode = transaction", "server_round_robin = 1"}, 0},
		{"load", "", []string{"pool_mode = transaction"}, 6},
		{"load, round robin", "default_query_exec_mode=exec", []string{"pool_mode = transaction", "server_round_robin = 1", ignored}, 6},
		{"more load than connections", "", []string{"pool_mode = transaction", "default_pool_size = 3"}, 6},
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
						if _, err := other.Exec(t.Context(), `BEGIN; SELECT pg_sleep(random() / 1000); COMMIT`); err != nil {
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
				if err == nil || !strings.Contains(err.Error(), "PgBouncer in mode transaction or statement") ||
					!strings.Contains(err.Error(), "set pool_mode = session") || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want one line that names pooler and remedy", err)
				}
			}
		})
	}
}

// Where a pooler is given another mode later, nothing is committed that is not serializable, and
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
			for range 10 {
				exec(t, connect(t, bouncer.Admin()), `RECONNECT`) // the server's sessions that are not in use are new ones then
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
				t.Error("nothing was refused")
			}
		})
	}
}
