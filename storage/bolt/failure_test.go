package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/transaction"
)

// A commit that failed before it was visible affects no other transaction.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		f    func(*bbolt.Tx) error
		want string
	}{
		{"error", func(*bbolt.Tx) error { return boom }, "nothing was committed: boom"},
		{"error after rollback", func(tx *bbolt.Tx) error { return errors.Join(boom, tx.Rollback()) }, "nothing was committed: boom"},
		{"panic", func(*bbolt.Tx) error { panic("assertion failed") }, "assertion failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := tempFile(t)
			db := open(t, path)
			mustPut(t, db, "k", "old")
			restore := bolt.SetCommit(db, tt.f)
			err := put(db, "k", []byte("new"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), db.Name()) {
				t.Errorf("got %v, want an error with %q and the database's name", err, tt.want)
			}
			if errors.Is(err, transaction.ErrInDoubt) || transaction.IsTransient(err) {
				t.Errorf("got %v, in doubt or transient", err)
			}
			restore()
			if got := get(t, db, "k"); string(got) != "old" {
				t.Errorf("got %q, want old", got)
			}
			mustPut(t, db, "k", "newer")
			closeDB(t, db)
			checkFile(t, path)
		})
	}
}

// All members of a group fail with it; the next group is committed.
func TestGroupFails(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	boom := errors.New("boom")
	first, goOn := make(chan struct{}), make(chan struct{})
	n := 0
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		switch n++; n {
		case 1: // while this one is written, the others gather
			close(first)
			<-goOn
		case 2:
			return boom
		}
		return tx.Commit()
	})
	var group sync.WaitGroup
	group.Go(func() {
		if err := put(db, "first", nil); err != nil {
			t.Error(err)
		}
	})
	<-first
	errs := make(chan error, 10)
	for i := range 10 {
		group.Go(func() { errs <- put(db, string(rune('a'+i)), nil) })
	}
	until(t, "all others are accepted", func() bool { return bolt.Pending(db) == 10 })
	close(goOn)
	group.Wait()
	for range 10 {
		if err := <-errs; !errors.Is(err, boom) {
			t.Errorf("got %v, want boom", err)
		}
	}
	mustPut(t, db, "after", "v")
	if got := get(t, db, "a"); got != nil {
		t.Errorf("got %q of the group that failed", got)
	}
}

// A conflict rejects only the transaction that lost, not the group.
func TestConflictInGroup(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	first, goOn := make(chan struct{}), make(chan struct{})
	n := 0
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		if n++; n == 1 {
			close(first)
			<-goOn
		}
		return tx.Commit()
	})
	var group sync.WaitGroup
	group.Go(func() { _ = put(db, "first", nil) })
	<-first
	const clients = 8
	conflicts, commits := make(chan error, clients), make(chan error, clients)
	for i := range clients {
		group.Go(func() { // all read and write one key
			ctx, txn := transaction.Begin(context.Background())
			defer func() { _ = txn.Abort(ctx) }()
			tx, err := db.Tx(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = tx.Bucket("b").Get([]byte("hot"))
			if err := errors.Join(err, tx.Bucket("b").Put([]byte("hot"), []byte{byte(i)})); err != nil {
				t.Error(err)
			}
			if err := txn.Commit(ctx); transaction.IsTransient(err) {
				conflicts <- err
			} else {
				commits <- err
			}
		})
		group.Go(func() { // these are independent
			if err := put(db, string(rune('a'+i)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "one commit of the hot key waits, and all independent ones", func() bool { return bolt.Pending(db) == 1+clients })
	close(goOn)
	group.Wait()
	if err := <-commits; err != nil || len(conflicts) != clients-1 {
		t.Errorf("got %v, and %d conflicts, want one commit and %d conflicts", err, len(conflicts), clients-1)
	}
	if n != 2 {
		t.Errorf("got %d updates, want 2: the first, and one for all others", n)
	}
}

// A commit that is visible but may not be on the disk is reported as in doubt, and every later
// operation fails.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	mustPut(t, db, "k", "old")
	boom := errors.New("fdatasync: input/output error")
	restore := bolt.SetCommit(db, func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), boom) })

	ctx, txn := transaction.Begin(t.Context()) // a transaction with a snapshot from before
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Bucket("b").Get([]byte("k")); err != nil {
		t.Fatal(err)
	}

	if err := put(db, "k", []byte("new")); !errors.Is(err, transaction.ErrInDoubt) || !errors.Is(err, boom) || transaction.IsTransient(err) {
		t.Errorf("got %v, want ErrInDoubt with the reason, not transient", err)
	}
	restore()
	if err := errors.Join(tx.Bucket("b").Put([]byte("l"), nil), txn.Commit(ctx)); err == nil || errors.Is(err, transaction.ErrInDoubt) ||
		!strings.Contains(err.Error(), "opened again") {
		t.Errorf("a later commit: got %v, want that the database must be opened again", err)
	}
	if _, err := fetch(db, "k"); err == nil || !strings.Contains(err.Error(), "opened again") {
		t.Errorf("a later read: got %v, want that the database must be opened again", err)
	}
	closeDB(t, db)
	db = mustOpen(t, path)
	mustPut(t, db, "k", "newer")
}

// A transaction that read a commit before its sync ends only after that, also if it aborts: its
// client may get an answer based on what it read.
func TestReaderWaitsForSync(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*transaction.Txn, context.Context) error{
		"commit": (*transaction.Txn).Commit, "abort": (*transaction.Txn).Abort,
	} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fails %t", name, fails), func(t *testing.T) {
				t.Parallel()
				readerWaitsForSync(t, end, fails)
			})
		}
	}
}

func readerWaitsForSync(t *testing.T, end func(*transaction.Txn, context.Context) error, fails bool) {
	t.Helper()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "k", "old")
	seen, goOn := make(chan struct{}), make(chan struct{})
	boom := errors.New("boom")
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		err := tx.Commit() // now it is visible
		close(seen)
		<-goOn // and now it is synced
		if fails {
			return boom
		}
		return err
	})
	writer := make(chan error, 1)
	go func() { writer <- put(db, "k", []byte("new")) }()
	<-seen

	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tx.Bucket("b").Get([]byte("k")); string(got) != "new" || err != nil {
		t.Fatalf("got %q, %v: the test needs a reader that sees the new state", got, err)
	}
	reader := make(chan error, 1)
	go func() { reader <- end(txn, ctx) }()
	until(t, "the reader waits", func() bool { return bolt.Awaited(db) })
	select {
	case err := <-reader:
		t.Errorf("the reader did not wait: %v", err)
	default:
	}
	close(goOn)
	werr, rerr := <-writer, <-reader
	if fails && (!errors.Is(werr, transaction.ErrInDoubt) || rerr == nil) || !fails && errors.Join(werr, rerr) != nil {
		t.Errorf("fails %t: the writer got %v, the reader %v", fails, werr, rerr)
	}
}
