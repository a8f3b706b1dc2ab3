package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// A small commit, whose statement is another one than that of larger commits, either writes all
// keys, or none and names the key that had changed. A small commit has up to 4 reads and 4 puts.
func TestSmallCommits(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.Database(t))
	defer db.Close()
	for _, reads := range []int{0, 1, 4, 5} {
		for _, puts := range []int{1, 4, 5} {
			for lost := -1; lost < reads; lost++ { // -1: none
				testCommit(t, db, reads, puts, lost)
			}
		}
	}
}

// testCommit reads some keys, half of which exist, and puts others; before the commit, another
// transaction changes the key lost.
func testCommit(t *testing.T, db *storage.DB, reads, puts, lost int) {
	t.Helper()
	key := func(kind string, i int) string { return fmt.Sprintf("%s%d", kind, i) }
	for i := range reads / 2 {
		run(t, func(ctx context.Context) error { return put(ctx, db, key("r", i), "before") })
	}
	value := fmt.Sprintf("%d reads, %d puts, lost %d", reads, puts, lost)
	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range reads {
		if _, err := tx.Bucket("b").Get([]byte(key("r", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range puts {
		if err := tx.Bucket("b").Put([]byte(key("w", i)), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if lost >= 0 {
		run(t, func(ctx context.Context) error { return put(ctx, db, key("r", lost), "meanwhile") })
	}
	err = txn.Commit(ctx)
	conflict, _ := errors.AsType[*storage.ConflictError](err)
	switch {
	case lost < 0 && err != nil:
		t.Fatalf("%s: %v", value, err)
	case lost >= 0 && (conflict == nil || string(conflict.Key) != key("r", lost)):
		t.Errorf("%s: got %v, want a conflict that names %s", value, err, key("r", lost))
	}
	run(t, func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		for i := range puts {
			got, err := tx.Bucket("b").Get([]byte(key("w", i)))
			if err != nil {
				return err
			}
			if written := string(got) == value; written != (lost < 0) {
				t.Errorf("%s: %s is %q", value, key("w", i), got)
			}
		}
		return nil
	})
}

// A commit that replaces a value that it has read has another statement: it writes only if that
// value and all other reads are unchanged.
func TestReplace(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.Database(t))
	defer db.Close()
	key := func(i int) string { return fmt.Sprintf("r%d", i) }
	bucket := func(ctx context.Context) storage.Bucket {
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return tx.Bucket("b")
	}
	for _, reads := range []int{1, 2, 5} {
		for lost := -1; lost < reads; lost++ { // -1: none
			for _, meanwhile := range []string{"changed", "deleted", "replaced"} {
				name := fmt.Sprintf("%d reads, %d is %s", reads, lost, meanwhile)
				for i := range reads {
					run(t, func(ctx context.Context) error {
						return put(ctx, db, key(i),
							"before")
					})
				}
				replaced := reads / 2
				ctx, txn := transaction.Begin(t.Context())
				for i := range reads {
					if value, err := bucket(ctx).Get([]byte(key(i))); err != nil ||
						string(value) != "before" {
						t.Fatalf("%s: got %q, %v", name, value, err)
					}
				}
				if err := bucket(ctx).Put([]byte(key(replaced)), []byte("after")); err != nil {
					t.Fatal(err)
				}
				if lost >= 0 && meanwhile != "changed" {
					run(t, func(ctx context.Context) error { return bucket(ctx).Delete([]byte(key(lost))) })
				}
				if lost >= 0 && meanwhile != "deleted" {
					run(t, func(ctx context.Context) error {
						return put(ctx, db, key(lost),
							"meanwhile")
					})
				}
				err := txn.Commit(ctx)
				conflict, _ := errors.AsType[*storage.ConflictError](err)
				if lost < 0 && err != nil || lost >= 0 &&
					(conflict == nil || string(conflict.Key) != key(lost)) {
					t.Errorf("%s: got %v", name, err)
				}
				var got []byte
				run(t, func(ctx context.Context) (err error) {
					got, err = bucket(ctx).Get([]byte(key(replaced)))
					return err
				})
				if written := string(got) == "after"; written != (lost < 0) {
					t.Errorf("%s: it is %q", name, got)
				}
			}
		}
	}
}

// A large value at any position of a range ends its first page.
func TestLargeValueAmongSmallOnes(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.Database(t))
	defer db.Close()
	const n = 4
	for large := range 1 << n { // bit i: value i is large
		bucket := fmt.Sprintf("b%d", large)
		var want []storage.Item
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			want = nil
			for i := range n {
				size := 10
				if large>>i&1 == 1 {
					size = 100_000
				}
				item := storage.Item{
					Key:   []byte{byte('a' + i)},
					Value: bytes.Repeat([]byte{byte(i)}, size),
				}
				want = append(want, item)
				err = errors.Join(err, tx.Bucket(bucket).Put(item.Key, item.Value))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, reverse := range []bool{false, true} {
			for _, to := range [][]byte{nil, []byte("z")} {
				var got []storage.Item
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					tx, err := db.Tx(ctx)
					if err != nil {
						return err
					}
					got = nil
					for item, err := range tx.Bucket(bucket).Range(storage.Range{
						To:      to,
						Reverse: reverse,
					}) {
						if err != nil {
							return err
						}
						got = append(got, item)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if reverse {
					slices.Reverse(got)
				}
				same := func(a, b storage.Item) bool {
					return bytes.Equal(a.Key, b.Key) &&
						bytes.Equal(a.Value, b.Value)
				}
				if !slices.EqualFunc(got, want, same) {
					t.Errorf("large %05b, reverse %t, to %q: got %d other items", large, reverse,
						to, len(got))
				}
			}
		}
	}
}
