package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// The clients of two engines, which stand for two processes, increment one key.
func TestKeyQueueAcrossProcesses(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	const processes, clients, each = 2, 32, 3
	var lost, acknowledged atomic.Int64
	var crowd sync.WaitGroup
	for range processes {
		db := openDB(t, with(uri, "pool_max_conns=8&acquire_timeout=1min"))
		defer db.Close()
		for range clients {
			crowd.Go(func() {
				for range each {
					err := transaction.Run(t.Context(),
						func(ctx context.Context) error { return increment(ctx, db, "n") })
					switch {
					case err == nil:
						acknowledged.Add(1)
					case transaction.IsTransient(err):
						lost.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
	}
	crowd.Wait()
	const all = processes * clients * each
	if got := ask[string](t, connect(t, uri), `SELECT convert_from(value, 'UTF8') FROM `+
		`pasteline_data`); got != fmt.Sprint(marked, acknowledged.Load()) {
		t.Errorf("got %s, want %d, the number of acknowledged increments", got, acknowledged.Load())
	}
	if most := int64(all / 100); lost.Load() > most {
		t.Errorf("%d of %d were not committed, want at most %d", lost.Load(), all, most)
	}
}

// Requests that read some keys and write one are committed within three attempts, with any number
// of clients: also if a read is the conflict, and if each attempt loses over another key.
func TestThreeAttempts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ processes, clients, all, keys int }{
		{1, 2, 200, 2}, {1, 17, 340, 2}, {1, 8, 160, 5}, {2, 8, 160, 3},
	} {
		t.Run(fmt.Sprintf("%d processes, %d clients, %d keys", tt.processes, tt.clients, tt.keys),
			func(t *testing.T) {
				t.Parallel()
				uri := pgtest.Database(t)
				dbs := make([]*storage.DB, tt.processes)
				for i := range dbs {
					dbs[i] = openDB(t, with(uri, "pool_max_conns=17&acquire_timeout=1min"))
					defer dbs[i].Close()
				}
				var crowd sync.WaitGroup
				for client := range tt.clients {
					db := dbs[client%tt.processes]
					crowd.Go(func() {
						for i := range tt.all / tt.clients {
							err := transaction.Run(t.Context(), func(ctx context.Context) error {
								for key := range tt.keys {
									if _, err := get(ctx, db, fmt.Sprint(key)); err != nil {
										return err
									}
								}
								return put(ctx, db, fmt.Sprint((client+i)%tt.keys),
									fmt.Sprintf("%d of %d", i, client))
							})
							if err != nil {
								t.Errorf("request %d: %v", i, err)
							}
						}
					})
				}
				crowd.Wait()
			})
	}
}

// childLock holds a lock until its input ends.
func childLock(ctx context.Context, db *storage.DB) error {
	_, ok, err := db.TryLock(ctx, "work")
	if err == nil {
		fmt.Println(ok)
		waitForInput()
	}
	return err
}

func TestTryLockAcrossProcesses(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	// the same tables, in another URI
	one, two := openDB(t, uri), openDB(t, with(uri, "schema=public"))
	defer one.Close()
	defer two.Close()
	try := func(db *storage.DB, want bool) func() {
		t.Helper()
		unlock, ok, err := db.TryLock(t.Context(), "work")
		if err != nil || ok != want {
			t.Errorf("got %t, %v, want %t", ok, err, want)
		}
		return unlock
	}
	unlock := try(one, true)
	try(one, false)
	try(two, false)
	unlock()
	try(two, true)()

	child, said, end := start(t, "lock", uri)
	if said != "true" {
		t.Fatalf("the child says %q", said)
	}
	try(one, false)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = end()
	until(t, connect(t, uri), `SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	try(one, true)()
}
