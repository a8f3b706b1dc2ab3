package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

func compact(ctx context.Context, tb testing.TB, db *storage.DB) (before, after int64, err error) {
	tb.Helper()
	c, ok := db.Engine().(engine.Compacter)
	if !ok {
		tb.Fatal("bolt is no Compacter")
	}
	return c.Compact(ctx, func(done, total int64) {
		if done > total {
			tb.Errorf("progress: %d of %d bytes", done, total)
		}
	})
}

// everything returns all that is in db, bucket by bucket.
func everything(tb testing.TB, db *storage.DB, buckets ...string) (text string) {
	tb.Helper()
	err := transaction.Run(tb.Context(), func(ctx context.Context) error {
		var all strings.Builder
		for _, name := range buckets {
			b, err := db.Bucket(ctx, name)
			if err != nil {
				return err
			}
			items, err := b.Items(storage.Range{})
			if err != nil {
				return err
			}
			for _, it := range items {
				fmt.Fprintf(&all, "%s %s=%x\n", name, it.Key, it.Value)
			}
		}
		text = all.String()
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestCompact(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced on Windows")
	}
	t.Parallel()
	path := tempFile(t)
	link := filepath.Join(filepath.Dir(path), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	db := open(t, link)
	fill := func(ctx context.Context, deleted bool) error {
		for _, name := range []string{"a", "b"} {
			bucket, err := db.Bucket(ctx, name)
			if err != nil {
				return err
			}
			for i := range 2000 {
				key := fmt.Appendf(nil, "%05d", i)
				if !deleted {
					err = bucket.Put(key, bytes.Repeat([]byte{byte(i)}, 5000))
				} else if i%10 > 0 {
					err = bucket.Delete(key)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, deleted := range []bool{false, true} {
		if err := transaction.Run(t.Context(), func(ctx context.Context) error {
			return fill(ctx, deleted)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".compacting", []byte("of a process that died"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := everything(t, db, "a", "b")
	recorder := engineID(t, db)

	before, after, err := compact(t.Context(), t, db)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != after || info.Mode().Perm() != 0o640 || before < 5*after {
		t.Errorf("%d bytes before and %d after, the file: %v (%v)", before, after, info, err)
	}
	if err := put(db, "x", []byte("y")); err == nil || !strings.Contains(err.Error(), "open it again") {
		t.Errorf("a commit afterwards: %v", err)
	}
	closeDB(t, db)
	if _, err := os.Stat(path + ".compacting"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	if target, err := os.Readlink(link); err != nil || target != path {
		t.Errorf("the link leads to %s (%v)", target, err)
	}
	checkFile(t, path)
	db = mustOpen(t, link)
	if got := everything(t, db, "a", "b"); got != want {
		t.Errorf("%d bytes of content, want %d", len(got), len(want))
	}
	if got := engineID(t, db); got != recorder {
		t.Errorf("the database has another RecorderID, %s instead of %s", got, recorder)
	}
	mustPut(t, db, "x", "y")
}

func engineID(tb testing.TB, db *storage.DB) string {
	tb.Helper()
	r, ok := db.Engine().(engine.Recorder)
	if !ok {
		tb.Fatal("bolt is no Recorder")
	}
	return r.RecorderID()
}

// If it does not come to an end, the file is as before, and the database goes on.
func TestCompactFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced on Windows")
	}
	t.Parallel()
	path := tempFile(t)
	db := mustOpen(t, path)
	mustPut(t, db, "a", "1")
	ctx, cancel := context.WithCancelCause(t.Context())
	errStop := errors.New("stop")
	cancel(errStop)
	if _, _, err := compact(ctx, t, db); !errors.Is(err, errStop) {
		t.Errorf("cancelled: got %v", err)
	}
	if err := os.Mkdir(path+".compacting", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".compacting/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := compact(t.Context(), t, db); err == nil {
		t.Error("compacted into a directory")
	}
	if err := os.RemoveAll(path + ".compacting"); err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "b", "2")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := compact(t.Context(), t, db); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("moved: got %v", err)
	}
	if err := os.Rename(path+".moved", path); err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "c", "3")
	if got := get(t, db, "a"); string(got) != "1" {
		t.Errorf("got %q, want 1", got)
	}
	if _, err := os.Stat(path + ".compacting"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy is left: %v", err)
	}
}
