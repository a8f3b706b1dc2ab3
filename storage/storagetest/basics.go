package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

func testGetPutDelete(t *suite) {
	db := t.open()
	c := begin(t, db)
	c.want("k", "-")
	c.put("k", "1")
	c.want("k", "1")
	c.put("k", "2")
	c.want("k", "2")
	c.delete("absent")
	c.commit()

	c = begin(t, db)
	c.want("k", "2")
	c.delete("k")
	c.want("k", "-")
	c.put("l", "3")
	c.commit()

	c = begin(t, db)
	c.want("k", "-")
	c.want("l", "3")
	c.commit()
}

func testEmptyValue(t *suite) {
	db := t.open()
	for _, value := range [][]byte{nil, {}} {
		c := begin(t, db)
		if err := c.bucket.Put([]byte("k"), value); err != nil {
			t.Fatal(err)
		}
		for range 2 { // an own write, then a stored value
			got, err := c.bucket.Get([]byte("k"))
			if err != nil || got == nil || len(got) != 0 {
				t.Errorf("got %v (nil: %t), %v, want an empty value that is not nil", got,
					got == nil, err)
			}
			for item, err := range c.bucket.Range(storage.Range{}) {
				if err != nil || item.Value == nil || len(item.Value) != 0 {
					t.Errorf("range: got %v, %v, want an empty value that is not nil",
						item.Value, err)
				}
			}
			c.commit()
			c = begin(t, db)
		}
		c.delete("k")
		c.commit()
	}
}

func testBucketsAreApart(t *suite) {
	db := t.open()
	names := []string{"a", "ab", "b", "B", "a\x00b", strings.Repeat("x", storage.MaxBucketName)}
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := tx.Bucket(name).Put([]byte("k"), []byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket("ab").Delete([]byte("k"))
	})
	if err != nil {
		t.Fatal(err)
	}
	c := begin(t, db)
	tx, err := db.Tx(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		want := []byte(name)
		if name == "ab" {
			want = nil
		}
		if got, err := tx.Bucket(name).Get([]byte("k")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("bucket %q: got %q, %v", name, got, err)
		}
	}
	c.abort()
}

// Keys are ordered by their bytes, of any value.
func testBinaryKeys(t *suite) {
	db := t.open()
	keys := []string{
		"\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "a\x01", "aa",
		"b", "\x7f", "\x80", "é", "\xff", "\xff\x00", "\xff\xff",
	}
	c := begin(t, db)
	for _, key := range keys {
		c.put(key, "v")
	}
	c.commit()
	c = begin(t, db)
	defer c.abort()
	var got []string
	for item, err := range c.bucket.Range(storage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(item.Key))
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", keys) {
		t.Errorf("got %q, want %q", got, keys)
	}
	if got := c.list(storage.Prefix([]byte("a\x00")), 0); got != "a\x00=v a\x00b=v" {
		t.Errorf("prefix: got %q", got)
	}
	if got := c.list(storage.Prefix([]byte("\xff")), 0); got != "\xff=v \xff\x00=v \xff\xff=v" {
		t.Errorf("prefix of 0xff: got %q", got)
	}
}

// Put refuses keys and values that can't be stored, so that they never make a commit fail.
func testLimits(t *suite) {
	db := t.open()
	c := begin(t, db)
	tx, err := db.Tx(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	longKey := bytes.Repeat([]byte("k"), storage.MaxKey)
	longValue := bytes.Repeat([]byte("v"), storage.MaxValue)
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"empty key", c.bucket.Put(nil, nil), "empty key"},
		{"long key", c.bucket.Put(append(longKey, 'k'), nil), "2049 bytes"},
		{"long value", c.bucket.Put([]byte("k"), append(longValue, 'v')), "16777217 bytes"},
		{"delete empty key", c.bucket.Delete(nil), "empty key"},
		{"conflict on empty key", c.bucket.AddReadConflict(nil), "empty key"},
		{"no bucket name", tx.Bucket("").Put([]byte("k"), nil), "want a name"},
		{
			"long bucket name",
			tx.Bucket(strings.Repeat("b", storage.MaxBucketName+1)).Put([]byte("k"), nil),
			"256 bytes",
		},
		{"reserved bucket name", tx.Bucket("\x00meta").Put([]byte("k"), nil), "reserved"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) ||
			!strings.Contains(tt.err.Error(), db.Name()) {
			t.Errorf("%s: got %v, want an error with %q and the database's name", tt.name,
				tt.err, tt.want)
		}
	}
	if _, err := c.bucket.Get(nil); err == nil {
		t.Error("get of an empty key: no error")
	}
	for _, err := range tx.Bucket("").Range(storage.Range{}) {
		if err == nil {
			t.Error("range of a bucket without name: no error")
		}
	}
	if err := c.bucket.Put(longKey, longValue); err != nil {
		t.Errorf("the longest key and value: %v", err)
	}
	c.commit()
	c = begin(t, db)
	defer c.abort()
	if got, err := c.bucket.Get(longKey); err != nil || !bytes.Equal(got, longValue) {
		t.Errorf("the longest key and value: got %d bytes, %v", len(got), err)
	}
}

// The caller may reuse slices that it has passed, and change and keep those that were returned.
func testSlicesAreCopies(t *suite) {
	db := t.open()
	c := begin(t, db)
	key, value := []byte("k"), []byte("abc")
	if err := c.bucket.Put(key, value); err != nil {
		t.Fatal(err)
	}
	key[0], value[0] = 'x', 'x'
	spoil := func() (kept [][]byte) {
		got, err := c.bucket.Get([]byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		got[1] = 'y'
		kept = append(kept, got)
		for item, err := range c.bucket.Range(storage.Range{}) {
			if err != nil {
				t.Fatal(err)
			}
			_ = append(item.Key, "overwritten"...)
			item.Key[0], item.Value[2] = 'z', 'z'
			kept = append(kept, item.Value)
		}
		c.want("k", "abc")
		return kept
	}
	spoil()
	c.commit()
	c = begin(t, db)
	kept := spoil()
	c.commit()
	set(t, db, "k", "new")
	if got := fmt.Sprintf("%s", kept); got != "[ayc abz]" {
		t.Errorf("kept values changed: got %s", got)
	}
}

func testNoTransaction(t *suite) {
	db := t.open()
	_, err := db.Tx(t.Context())
	if !errors.Is(err, transaction.ErrNoTransaction) || !strings.Contains(err.Error(),
		"egg:repoze.tm2#tm") ||
		!strings.Contains(err.Error(), "transaction.Run") {
		t.Errorf("got %v, want ErrNoTransaction, which names the filter and the function to use",
			err)
	}
}

func testEnded(t *suite) {
	db := t.open()
	for _, end := range []struct {
		name string
		end  func(*client)
	}{{"commit", (*client).commit}, {"abort", (*client).abort}} {
		c := begin(t, db)
		c.put("k", "1")
		end.end(c)
		_, getErr := c.bucket.Get([]byte("k"))
		_, txErr := db.Tx(c.ctx)
		var rangeErr error
		for _, err := range c.bucket.Range(storage.Range{}) {
			rangeErr = err
		}
		for op, err := range map[string]error{
			"get": getErr, "put": c.bucket.Put([]byte("k"), nil),
			"delete":            c.bucket.Delete([]byte("k")),
			"add read conflict": c.bucket.AddReadConflict([]byte("k")), "range": rangeErr,
			"Tx": txErr,
		} {
			if !errors.Is(err, transaction.ErrEnded) {
				t.Errorf("%s after %s: got %v, want ErrEnded", op, end.name, err)
			}
		}
	}
}

func testAbortLeavesNothing(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "2")
	c := begin(t, db)
	c.put("a", "x")
	c.put("c", "x")
	c.delete("b")
	c.abort()

	boom := errors.New("boom")
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return errors.Join(tx.Bucket("b").Put([]byte("d"), []byte("x")), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want boom", err)
	}
	if got := all(t, db); got != "a=1 b=2" {
		t.Errorf("got %q", got)
	}
}

func testDurability(t *suite) {
	if t.Reopen == nil {
		t.Skip("the engine does not keep data")
	}
	db := t.Open(t)
	set(t, db, "a", "1", "b", "2")
	c := begin(t, db)
	c.put("lost", "x")
	c.abort()
	db = t.Reopen(t, db)
	if got := all(t, db); got != "a=1 b=2" {
		t.Errorf("reopened: got %q", got)
	}
	c = begin(t, db)
	c.want("a", "1")
	c.put("a", "3")
	c.delete("b")
	c.commit()
	db = t.Reopen(t, db)
	t.closeLater(db)
	if got := all(t, db); got != "a=3" {
		t.Errorf("reopened again: got %q", got)
	}
}

func testClose(t *suite) {
	db := t.Open(t)
	set(t, db, "a", "1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	ctx, txn := transaction.Begin(t.Context())
	if _, err := db.Tx(ctx); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
	if _, err := db.Engine().Begin(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Begin: got %v, want ErrClosed", err)
	}
	if t.Check != nil {
		t.Check(t, db)
	}
}
