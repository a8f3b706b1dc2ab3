package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func tempFile(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "data.db")
}

// open opens the file at path; the caller closes it.
func open(tb testing.TB, path string) *storage.DB {
	tb.Helper()
	db, err := bolt.Open(path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// mustOpen opens the file at path, and closes it at the end of the test.
func mustOpen(tb testing.TB, path string) *storage.DB {
	tb.Helper()
	db := open(tb, path)
	tb.Cleanup(func() { closeDB(tb, db) })
	return db
}

func closeDB(tb testing.TB, db *storage.DB) {
	tb.Helper()
	if err := db.Close(); err != nil {
		tb.Errorf("close: %v", err)
	}
}

func pathOf(tb testing.TB, db *storage.DB) string {
	tb.Helper()
	uri, err := url.Parse(db.Name())
	if err != nil {
		tb.Fatal(err)
	}
	return uri.Path
}

// checkFile makes bbolt check every page.
func checkFile(tb testing.TB, path string) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		tb.Errorf("open %s: %v", path, err)
		return
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			tb.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil {
		tb.Error(err)
	}
}

// put commits one key, and returns the commit's error.
func put(db *storage.DB, key string, value []byte) error {
	return transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return tx.Bucket("b").Put([]byte(key), value)
	})
}

func fetch(db *storage.DB, key string) (value []byte, err error) {
	err = transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		value, err = tx.Bucket("b").Get([]byte(key))
		return err
	})
	return value, err
}

func get(tb testing.TB, db *storage.DB, key string) []byte {
	tb.Helper()
	value, err := fetch(db, key)
	if err != nil {
		tb.Errorf("get %q: %v", key, err)
	}
	return value
}

func mustPut(tb testing.TB, db *storage.DB, key, value string) {
	tb.Helper()
	if err := put(db, key, []byte(value)); err != nil {
		tb.Fatalf("put %q: %v", key, err)
	}
}

func TestFileMode(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	mustOpen(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("got mode %o, want 600", got)
	}
}

// Decision records outlive the process, except those that are no longer needed.
func TestDecidedAfterReopening(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	commit := func(other prepared) (id string) {
		ctx, txn := transaction.Begin(t.Context())
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tx.Bucket("b").Put([]byte("k"), nil), txn.Join(&other), txn.Commit(ctx)); err != nil {
			t.Fatal(err)
		}
		return txn.ID()
	}
	unfinished, finished := commit(prepared{errors.New("died")}), commit(prepared{})
	before := recorderOf(t, db)
	givenUp := "given up"
	if _, err := before.Settle(t.Context(), givenUp); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)

	db = mustOpen(t, path)
	recorder := recorderOf(t, db)
	if got := recorder.RecorderID(); got != before.RecorderID() || got == "" {
		t.Errorf("got another id, %q instead of %q", got, before.RecorderID())
	}
	for id, want := range map[string]bool{unfinished: true, finished: false, givenUp: false, "another": false} {
		if got, err := recorder.Decided(t.Context(), id); got != want || err != nil {
			t.Errorf("decided %q: got %t, %v, want %t", id, got, err, want)
		}
	}
}

func recorderOf(tb testing.TB, db *storage.DB) engine.Recorder {
	tb.Helper()
	d, ok := db.Engine().(engine.Recorder)
	if !ok {
		tb.Fatal("not a Recorder")
	}
	return d
}

// prepared is a data manager that can prepare; Finish returns its error.
type prepared struct{ finish error }

func (*prepared) SortKey() string                              { return "" }
func (*prepared) Prepare(context.Context, resource.Txn) error  { return nil }
func (p *prepared) Finish(context.Context, resource.Txn) error { return p.finish }
func (*prepared) Commit(context.Context, resource.Txn) error   { return nil }
func (*prepared) Abort(context.Context, resource.Txn) error    { return nil }

// until polls for a condition.
func until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			tb.Fatalf("timed out waiting until %s", what)
		}
	}
}

// A reader that stays open does not stop commits, however much they write.
func TestCommitsBesideLongReader(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "k", "old")
	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := func() {
		t.Helper()
		if got, err := tx.Bucket("b").Get([]byte("k")); string(got) != "old" || err != nil {
			t.Errorf("got %q, %v, want the old value", got, err)
		}
	}
	read()
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 40 {
			err = errors.Join(err, put(db, fmt.Sprint(i), make([]byte, 1<<20)))
		}
		done <- errors.Join(err, put(db, "k", []byte("new")))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the commits wait for the reader")
	}
	read()
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
}

// Close waits for the open transactions.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Bucket("b").Get([]byte("k")); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	until(t, "Close has begun", func() bool { return errors.Is(put(db, "other", nil), storage.ErrClosed) })
	if err := errors.Join(tx.Bucket("b").Put([]byte("k"), []byte("v")), txn.Commit(ctx)); err != nil {
		t.Errorf("a transaction that was open before Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	db = mustOpen(t, path)
	if got := get(t, db, "k"); string(got) != "v" {
		t.Errorf("got %q, want v", got)
	}
}

// Many concurrent commits become few bbolt transactions.
func TestGroups(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	const clients, each = 64, 20
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for n := range each {
				if err := put(db, fmt.Sprint(client), fmt.Append(nil, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for client := range clients {
		if got := string(get(t, db, fmt.Sprint(client))); got != fmt.Sprint(each-1) {
			t.Errorf("client %d: got %s", client, got)
		}
	}
	closeDB(t, db)
	raw, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.View(func(tx *bbolt.Tx) error {
		if tx.ID() > clients*each/2 {
			t.Errorf("%d commits took %d bbolt transactions", clients*each, tx.ID())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := func(name string) (path string, content []byte) {
		t.Helper()
		path = filepath.Join(dir, name)
		db := open(t, path)
		for i := range 10 {
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx, err := db.Tx(ctx)
				for j := range 30 {
					key := fmt.Appendf(nil, "%04d", (i*30+j)*7%300)
					err = errors.Join(err, tx.Bucket("b").Put(key, bytes.Repeat([]byte("v"), 300)))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		closeDB(t, db)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, content
	}
	damaged := func(name string, damage func([]byte) []byte) string {
		_, content := good(name)
		return write(name, damage(content))
	}
	foreign := filepath.Join(dir, "foreign.db")
	rawUpdate(t, foreign, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	newer, _ := good("newer.db")
	rawUpdate(t, newer, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("\x00meta")).Put([]byte("format"), []byte("pasteline/99"))
	})
	odd, _ := good("odd.db")
	rawUpdate(t, odd, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("\x00meta")).Put([]byte("format"), []byte("pasteline/x"))
	})
	inUse := filepath.Join(dir, "inuse.db")
	mustOpen(t, inUse)

	for _, tt := range []struct {
		name, path string
		is         error
		want       string
	}{
		{"no directory", filepath.Join(dir, "no", "data.db"), nil, fmt.Sprintf("directory %q does not exist: make it", filepath.Join(dir, "no"))},
		{"file as directory", filepath.Join(write("file", nil), "data.db"), nil, "is not a directory"},
		{"directory", dir, nil, "not a regular file"},
		{"in use", inUse, storage.ErrInUse, "in use"},
		{"other program's", foreign, nil, "another program"},
		{"newer format", newer, nil, "format 99, and this program knows formats up to 1"},
		{"odd format", odd, storage.ErrDamaged, "pasteline/x"},
		{"text", write("text", []byte("hello, this is no database\n")), storage.ErrDamaged, "not a database"},
		{"garbage", write("garbage", []byte(strings.Repeat("\xde\xad\xbe\xef", 1<<14))), storage.ErrDamaged, "not a database"},
		{"zeros", write("zeros", make([]byte, 1<<16)), storage.ErrDamaged, "not a database"},
		{"cut to one page", damaged("cut1.db", func(b []byte) []byte { return b[:4096] }), storage.ErrDamaged, "damaged"},
		{"cut to half", damaged("cut2.db", func(b []byte) []byte { return b[:20*4096] }), storage.ErrDamaged, "of"},
		{"header overwritten", damaged("header.db", func(b []byte) []byte { clear(b[:2*4096]); return b }), storage.ErrDamaged, "damaged"},
		{"all but header overwritten", damaged("pages.db", func(b []byte) []byte {
			for i := 2 * 4096; i < len(b); i++ {
				b[i] = 0xa5
			}
			return b
		}), storage.ErrDamaged, "damaged"},
		{"all but header zero", damaged("zeropages.db", func(b []byte) []byte { clear(b[2*4096:]); return b }), storage.ErrDamaged, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before, _ := os.ReadFile(tt.path)
			db, err := bolt.Open(tt.path, &bolt.Options{LockTimeout: time.Millisecond})
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with the path and %q", err, tt.want)
			}
			if errors.Is(err, storage.ErrDamaged) && !strings.HasSuffix(err.Error(), ": restore it from a backup, or name another file") {
				t.Errorf("got %q, which does not say what to do", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
			if after, _ := os.ReadFile(tt.path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// With any single bit flipped, the file either opens or gives an error, and so does every read from
// it. None ends the process.
func TestOneBitWrong(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	if err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		b := tx.Bucket("b")
		for i := range 300 {
			err = errors.Join(err,
				b.Put(fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte("v"), 30)),
				b.Put(fmt.Appendf(nil, "long%04d", i), bytes.Repeat([]byte("v"), 300)))
		}
		return errors.Join(err, b.Put([]byte("large"), bytes.Repeat([]byte("v"), 1<<16)))
	}); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pageSize := os.Getpagesize()
	var used []int
	for at := 0; at < len(content); at += pageSize {
		if bytes.Trim(content[at:min(at+pageSize, len(content))], "\x00") != nil {
			used = append(used, at)
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	opened := 0
	for i := range 1000 {
		at := used[random.IntN(len(used))]
		if i%2 == 0 {
			at += random.IntN(200) // in the page header
		} else {
			at += random.IntN(pageSize)
		}
		if _, err := f.WriteAt([]byte{content[at] ^ 1<<random.IntN(8)}, int64(at)); err != nil {
			t.Fatal(err)
		}
		if db, err := bolt.Open(path, nil); err == nil {
			opened++
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx, err := db.Tx(ctx)
				if err != nil {
					return err
				}
				for _, err := range tx.Bucket("b").Range(storage.Range{}) {
					if err != nil {
						return err
					}
				}
				_, err = tx.Bucket("b").Get([]byte("long0100"))
				return err
			})
			if err != nil && !errors.Is(err, storage.ErrDamaged) {
				t.Errorf("byte %d: got %v, want ErrDamaged", at, err)
			}
			closeDB(t, db)
		}
		if err := restore(f, content, at); err != nil {
			t.Fatal(err)
		}
	}
	if opened == 1000 {
		t.Error("no flipped bit was detected")
	}
	t.Logf("%d of 1000 could be opened", opened)
	closeDB(t, open(t, path)) // as it was
}

// restore restores the byte at offset at, or the whole file if opening has committed: if the flipped
// bit hides the identity, opening writes a new one, on a page that may be in use.
func restore(f *os.File, content []byte, at int) error {
	_, err := f.WriteAt(content[at:at+1], int64(at))
	headers := make([]byte, 2*os.Getpagesize())
	_, readErr := f.ReadAt(headers, 0)
	if err := errors.Join(err, readErr); err != nil || bytes.HasPrefix(content, headers) {
		return err
	}
	_, err = f.WriteAt(content, 0)
	return errors.Join(err, f.Truncate(int64(len(content))))
}

func rawUpdate(tb testing.TB, path string, f func(*bbolt.Tx) error) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		tb.Fatal(err)
	}
}

// If one of the two meta pages was lost while it was written, the older one counts.
func TestOneHeaderLost(t *testing.T) {
	t.Parallel()
	for header := range int64(2) {
		path := tempFile(t)
		db := open(t, path)
		mustPut(t, db, "a", "1")
		mustPut(t, db, "b", "2")
		closeDB(t, db)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 100), header*int64(os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
		f.Close()
		db = mustOpen(t, path)
		if got := get(t, db, "a"); string(got) != "1" {
			t.Errorf("header %d: got %q, want 1", header, got)
		}
		mustPut(t, db, "c", "3")
	}
}

// A file that is truncated while it is open gives errors, and does not end the process.
func TestCutWhileOpen(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	for i := range 400 {
		mustPut(t, db, fmt.Sprintf("%04d", i), strings.Repeat("v", 1000))
	}
	// The first page of this value is still in the file: the memory fault happens while the value
	// is copied.
	mustPut(t, db, "large", strings.Repeat("v", 1<<20))
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(bytes.Index(raw, bytes.Repeat([]byte("v"), 5000))+5000)); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(b storage.Bucket) error{
		func(b storage.Bucket) error {
			_, err := b.Get([]byte("large"))
			return err
		},
		func(b storage.Bucket) error {
			for _, err := range b.Range(storage.Prefix([]byte("l"))) {
				return err
			}
			return nil
		},
	} {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			return read(tx.Bucket("b"))
		})
		if !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("a truncated value: got %v, want ErrDamaged", err)
		}
	}
	if err := os.Truncate(path, 4*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i := range 400 {
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Bucket("b").Get(fmt.Appendf(nil, "%04d", i))
			return err
		})
		if errors.Is(err, storage.ErrDamaged) {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no read failed")
	}
	if err := put(db, "k", []byte("v")); err == nil {
		t.Error("a commit to a truncated file succeeded")
	}
	if err := db.Close(); err != nil {
		t.Logf("close: %v", err) // an error is allowed
	}
}
