package storage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// attempt reads and writes keys in a transaction of ctx, and calls before ahead of the commit.
func attempt(ctx context.Context, db *storage.DB, before func(), keys ...string) error {
	ctx, txn := transaction.Begin(ctx)
	defer func() { _ = txn.Abort(ctx) }()
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, err := tx.Bucket("b").Get([]byte(key))
		if err != nil {
			return err
		}
		if err := tx.Bucket("b").Put([]byte(key), append(value, '+')); err != nil {
			return err
		}
	}
	if before != nil {
		before()
	}
	return txn.Commit(ctx)
}

// lose returns the conflict of an attempt that lost over key.
func lose(ctx context.Context, tb testing.TB, db *storage.DB, keys ...string) *storage.ConflictError {
	tb.Helper()
	last := keys[len(keys)-1]
	err := attempt(ctx, db, func() {
		if err := attempt(ctx, db, nil, last); err != nil {
			tb.Errorf("the winner: %v", err)
		}
	}, keys...)
	conflict, ok := errors.AsType[*storage.ConflictError](err)
	if !ok {
		tb.Fatalf("got %v, want a conflict", err)
	}
	return conflict
}

func noneLeft(tb testing.TB, db *storage.DB) {
	tb.Helper()
	if held, admitted := storage.Tickets(db); held != 0 || admitted != 0 {
		tb.Errorf("%d tickets and %d admissions are left", held, admitted)
	}
}

// queueDB returns an empty database. At the end of the test its queue must be empty.
func queueDB(t *testing.T) *storage.DB {
	t.Helper()
	db := memory.New("queue")
	t.Cleanup(func() {
		noneLeft(t, db)
		_ = db.Close()
	})
	return db
}

// The holder of a ticket can't lose over its key; other transactions lose at once.
func TestTicketExcludesOthers(t *testing.T) {
	t.Parallel()
	db := memory.New("queue")
	defer db.Close()
	ctx, release, err := lose(t.Context(), t, db, "k").Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = attempt(ctx, db, func() {
		if err := attempt(t.Context(), db, nil, "k"); !transaction.IsTransient(err) {
			t.Errorf("another one: got %v, want a conflict", err)
		}
		if err := attempt(t.Context(), db, nil, "other"); err != nil {
			t.Errorf("another key: %v", err)
		}
	}, "k")
	if err != nil {
		t.Errorf("the holder of the ticket: %v", err)
	}
	release()
	release() // again, without harm
	if err := attempt(t.Context(), db, nil, "k"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	noneLeft(t, db)
}

// Tickets are granted in the order of arrival.
func TestTicketsInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := queueDB(t)
		conflict := lose(t.Context(), t, db, "k")
		_, release, err := conflict.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var group sync.WaitGroup
		for i := range 5 {
			group.Go(func() {
				_, release, err := conflict.Wait(t.Context())
				if err != nil {
					t.Error(err)
				}
				order = append(order, i) // by one at a time
				release()
			})
			synctest.Wait()
		}
		release()
		group.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4]" {
			t.Errorf("got %s", got)
		}
	})
}

// A transaction that loses over a second key queues for both.
func TestTicketForSeveralKeys(t *testing.T) {
	t.Parallel()
	db := memory.New("queue")
	defer db.Close()
	ctx, release, err := lose(t.Context(), t, db, "z").Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	second := lose(ctx, t, db, "z", "a")
	ctx, release, err = second.Wait(t.Context()) // gives back the first
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"z", "a"} {
		if err := attempt(t.Context(), db, nil, key); !transaction.IsTransient(err) {
			t.Errorf("another one, key %s: got %v, want a conflict", key, err)
		}
	}
	if err := attempt(ctx, db, nil, "z", "a"); err != nil {
		t.Error(err)
	}
	release()
	noneLeft(t, db)
}

// A transaction that lost over a range that it read gets a ticket for the whole range, because the
// next conflict in it would be over another key.
func TestTicketForARange(t *testing.T) {
	t.Parallel()
	db := memory.New("queue")
	defer db.Close()
	scan := func(ctx context.Context, before func()) error {
		ctx, txn := transaction.Begin(ctx)
		defer func() { _ = txn.Abort(ctx) }()
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		for _, err := range tx.Bucket("b").Range(storage.Range{From: []byte("c"), To: []byte("f")}) {
			if err != nil {
				return err
			}
		}
		before()
		if err := tx.Bucket("result").Put([]byte("k"), nil); err != nil {
			return err
		}
		return txn.Commit(ctx)
	}
	write := func(key string) error { return attempt(t.Context(), db, nil, key) }
	conflict, ok := errors.AsType[*storage.ConflictError](scan(t.Context(), func() {
		if err := write("d"); err != nil {
			t.Error(err)
		}
	}))
	if !ok || string(conflict.Key) != "d" {
		t.Fatalf("got %v, want a conflict over d", conflict)
	}
	ctx, release, err := conflict.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = scan(ctx, func() {
		for key, away := range map[string]bool{"b": false, "bz": false, "c": true, "cc": true, "d": true, "ez": true, "f": false, "g": false} {
			if err := write(key); transaction.IsTransient(err) != away || !away && err != nil {
				t.Errorf("another one, key %s: got %v, want kept away: %t", key, err, away)
			}
		}
	})
	if err != nil {
		t.Errorf("the holder of the ticket: %v", err)
	}
	release()
	if err := write("d"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	noneLeft(t, db)
}

// Tickets without common keys are granted at once; a ticket that overlaps with several waits for
// all of them, and later ones that overlap wait for it.
func TestOverlappingTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := queueDB(t)
		come := map[string]func(){}
		want := func(names string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Join(slices.Sorted(maps.Keys(come)), " "); got != names {
				t.Errorf("got the tickets of %q, want %q", got, names)
			}
		}
		var mu sync.Mutex
		queue := func(name string, conflict *storage.ConflictError) {
			go func() {
				_, release, err := conflict.Wait(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				come[name] = release
				mu.Unlock()
			}()
			synctest.Wait()
		}
		onA, onB, onC := lose(t.Context(), t, db, "a"), lose(t.Context(), t, db, "b"), lose(t.Context(), t, db, "c")
		queue("a", onA)
		queue("b", onB)
		want("a b")
		queue("range", storage.ConflictOver(db, onA, "b", "a", "c")) // both
		queue("a2", onA)                                             // behind the range
		queue("c", onC)
		want("a b c")
		release := func(name string) {
			f := come[name]
			delete(come, name) // before others come
			f()
		}
		release("a")
		want("b c")
		release("b")
		want("c range")
		release("range")
		want("a2 c")
		release("a2")
		release("c")
	})
}

// The time in the queue and the time of holding a ticket are limited.
func TestTicketsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := queueDB(t)
		conflict := lose(t.Context(), t, db, "k")
		held, release, err := conflict.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(storage.MaxTicketHold / 2) // so that no two things happen at one time
		start := time.Now()

		// The seventh waits too long, and goes on without a ticket: the six before it hold theirs
		// for the longest time.
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				_, release, err := conflict.Wait(t.Context())
				if err != nil {
					t.Error(err)
				}
				time.Sleep(10 * storage.MaxTicketHold)
				release()
			})
			synctest.Wait()
		}
		next, releaseNext, err := conflict.Wait(t.Context())
		if err != nil || time.Since(start) != storage.MaxTicketWait {
			t.Errorf("got %v after %s, want no error after %s", err, time.Since(start), storage.MaxTicketWait)
		}
		if next != t.Context() {
			t.Error("the context carries a ticket")
		}
		releaseNext()

		// The first ticket has expired, so its transaction loses like any other.
		if err := attempt(held, db, nil, "k"); !transaction.IsTransient(err) {
			t.Errorf("the ticket has expired: got %v, want a conflict", err)
		}
		release()
		group.Wait()
	})
}

// The end of the context ends the wait.
func TestTicketWaitIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := queueDB(t)
		conflict := lose(t.Context(), t, db, "k")
		_, release, err := conflict.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, _, err := conflict.Wait(ctx)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		release()
	})
}

func TestConflictError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  storage.ConflictError
		want string
	}{
		{storage.ConflictError{DB: "memory://x", Bucket: "b", Key: []byte("short")}, `storage: memory://x: conflict: bucket "b", key "short" was changed by another transaction`},
		{storage.ConflictError{DB: "memory://x", Bucket: "b", Key: []byte("a long one")}, `storage: memory://x: conflict: bucket "b", key "a long o"… was changed by another transaction`},
		{storage.ConflictError{DB: "memory://x"}, `storage: memory://x: conflict: the transaction is too old to be validated`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		if !transaction.IsTransient(fmt.Errorf("wrapped: %w", &tt.err)) {
			t.Error("not transient")
		}
		if _, release, err := tt.err.Wait(t.Context()); err != nil { // nothing to wait for
			t.Error(err)
		} else {
			release()
		}
	}
}

// A ticket is released when the commit is visible, not when the attempt has ended: its response may
// take long to send.
func TestTicketIsReleasedByTheCommit(t *testing.T) {
	t.Parallel()
	db := memory.New("x")
	defer db.Close()
	next, release, err := lose(t.Context(), t, db, "k").Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if queued, _ := storage.Tickets(db); queued != 1 {
		t.Fatalf("before the commit: got %d in the queue, want 1", queued)
	}
	if err := attempt(next, db, nil, "k"); err != nil {
		t.Fatal(err)
	}
	noneLeft(t, db)
}
