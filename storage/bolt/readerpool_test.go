package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// The pool keeps readers for the next views, and is empty after a write.
func TestReaderPool(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	idle := func(want int) {
		t.Helper()
		if got := bolt.Idle(db); got != want {
			t.Errorf("got %d idle readers, want %d", got, want)
		}
	}
	mustPut(t, db, "k", "v")
	idle(0)
	for range 3 { // in sequence
		get(t, db, "k")
		idle(1)
	}
	views := make([]engine.View, 40) // at the same time
	for i := range views {
		v, err := db.Engine().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
	}
	idle(0)
	for _, v := range views[:39] {
		v.Close()
	}
	idle(32)

	// One reader is open across a write, and another one begins during the write.
	boom := errors.New("boom")
	for _, end := range []func(*bbolt.Tx) error{(*bbolt.Tx).Commit, func(*bbolt.Tx) error { return boom }} {
		during := false
		restore := bolt.SetCommit(db, func(tx *bbolt.Tx) error {
			idle(0)
			v, err := db.Engine().Begin(context.Background())
			if err != nil {
				return err
			}
			v.Close()
			idle(0)
			during = true
			return end(tx)
		})
		if err := put(db, "k", []byte("w")); err != nil && !errors.Is(err, boom) || !during {
			t.Fatal(err, during)
		}
		restore()
		views[39].Close()
		idle(0)
	}
	get(t, db, "k")
	idle(1)
	if _, err := recorderOf(t, db).Settle(t.Context(), "a transaction"); err != nil {
		t.Fatal(err)
	}
	idle(0)
	get(t, db, "k")
	closeDB(t, db)
	idle(0)
}

// A transaction that begins after a commit was acknowledged reads it.
func TestReadsAcknowledgedCommits(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "k", "0")
	var acknowledged atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := acknowledged.Load()
				value, err := fetch(db, "k")
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := strconv.ParseInt(string(value), 10, 64); err != nil || n < least {
					t.Errorf("got %q, want at least %d", value, least)
					return
				}
			}
		})
	}
	for n := range int64(100) {
		mustPut(t, db, "k", strconv.FormatInt(n+1, 10))
		acknowledged.Store(n + 1)
		if n%10 == 0 {
			until(t, "a reader is idle", func() bool { return bolt.Idle(db) > 0 })
		}
	}
	close(stop)
	readers.Wait()
}

// An idle reader does not keep bbolt from enlarging its memory map, for which all readers must be
// closed.
func TestGrowsBesideIdleReaders(t *testing.T) {
	t.Parallel()
	db, err := bolt.Open(tempFile(t), &bolt.Options{MmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		key := fmt.Sprint(i)
		done := make(chan error, 1)
		go func() { done <- put(db, key, make([]byte, 1<<20)) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the commit waits for an idle reader")
		}
		get(t, db, key)
		if bolt.Idle(db) == 0 {
			t.Error("no reader is idle: the test shows nothing")
		}
	}
	closeDB(t, db)
}

// The body of a loop over a bucket reads from that bucket, and from more buckets than a reader
// caches.
func TestReadsWithinARange(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	const buckets, keys = 10, 5
	all := func(visit func(b storage.Bucket, key []byte) error) error {
		return transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			for i := range buckets {
				for j := range keys {
					if err := visit(tx.Bucket(fmt.Sprint("b", i)), fmt.Append(nil, "k", j)); err != nil {
						return err
					}
				}
			}
			return nil
		}, transaction.Policy{})
	}
	if err := all(func(b storage.Bucket, key []byte) error { return b.Put(key, key) }); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time with the same reader
		err := all(func(b storage.Bucket, _ []byte) error {
			n := 0
			for item, err := range b.Range(storage.Range{}) {
				if err != nil {
					return err
				}
				value, err := b.Get(fmt.Append(nil, "k", keys-1-n))
				if err != nil {
					return err
				}
				rest, err := b.Items(storage.Range{From: item.Key})
				if err != nil {
					return err
				}
				if string(item.Key) != fmt.Sprint("k", n) || string(value) != fmt.Sprint("k", keys-1-n) || len(rest) != keys-n {
					return fmt.Errorf("got %q, %q and %d items in round %d", item.Key, value, len(rest), n)
				}
				n++
			}
			if n != keys {
				return fmt.Errorf("got %d keys, want %d", n, keys)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
