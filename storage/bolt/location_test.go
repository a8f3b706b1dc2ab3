//go:build unix

package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/transaction"
)

// A logBuffer is the text of a log.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// overwrite copies a file over another one, as cp does: into the same inode.
func overwrite(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// A folder has the database in the file folder/data.db, which is opened through the link current.
type folder struct{ dir, path, link string }

func newFolder(t *testing.T, commits int) folder {
	t.Helper()
	dir := t.TempDir()
	real := filepath.Join(dir, "folder")
	err := errors.Join(os.Mkdir(real, 0o700), os.Mkdir(filepath.Join(dir, "other"), 0o700), os.Symlink("folder", filepath.Join(dir, "current")))
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, filepath.Join(dir, "other", "data.db"))
	for range commits {
		mustPut(t, other, "k", "other")
	}
	closeDB(t, other)
	return folder{dir, filepath.Join(real, "data.db"), filepath.Join(dir, "current", "data.db")}
}

func (f folder) in(name string) string { return filepath.Join(f.dir, name) }

// While the file is not at its path, commits are refused, because they would be lost at the next
// start. Acknowledged commits can be read and saved, and once the file is back, commits succeed.
func TestMoved(t *testing.T) {
	t.Parallel()
	relink := func(f folder, target string) error {
		return errors.Join(os.Symlink(target, f.in("new")), os.Rename(f.in("new"), f.in("current")))
	}
	for _, tt := range []struct {
		name       string
		move, back func(f folder) error
		want       string
	}{
		{"deleted", func(f folder) error { return os.Remove(f.path) }, nil, "deleted or renamed"},
		{
			"renamed", func(f folder) error { return os.Rename(f.path, f.in("old")) },
			func(f folder) error { return os.Rename(f.in("old"), f.path) }, "deleted or renamed",
		},
		{"replaced", func(f folder) error { return os.Rename(f.in("other/data.db"), f.path) }, nil, "another file is there"},
		{"replaced by its copy", func(f folder) error {
			return errors.Join(overwrite(f.path, f.in("copy")), os.Rename(f.in("copy"), f.path))
		}, nil, "another file is there"},
		{
			"deleted, but for a hard link",
			func(f folder) error { return errors.Join(os.Link(f.path, f.in("hard")), os.Remove(f.path)) },
			func(f folder) error { return os.Link(f.in("hard"), f.path) }, "deleted or renamed",
		},
		{
			"folder renamed", func(f folder) error { return os.Rename(f.in("folder"), f.in("moved")) },
			func(f folder) error { return relink(f, "moved") }, "deleted or renamed",
		},
		{
			"folder replaced", func(f folder) error {
				return errors.Join(os.Rename(f.in("folder"), f.in("moved")), os.Rename(f.in("other"), f.in("folder")))
			},
			func(f folder) error {
				return errors.Join(os.Rename(f.in("folder"), f.in("other")), os.Rename(f.in("moved"), f.in("folder")))
			}, "another file is there",
		},
		{
			"link leads elsewhere", func(f folder) error { return relink(f, "other") },
			func(f folder) error { return relink(f, "folder") }, "another file is there",
		},
		{
			"link leads nowhere", func(f folder) error { return os.Remove(f.in("current")) },
			func(f folder) error { return relink(f, "folder") }, "deleted or renamed",
		},
	} {
		for _, byURI := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by URI %t", tt.name, byURI), func(t *testing.T) {
				t.Parallel()
				f := newFolder(t, 1)
				var log logBuffer
				db := f.open(t, byURI, &log)
				mustPut(t, db, "before", "v")
				mustPut(t, db, "n", "0")
				if err := tt.move(f); err != nil {
					t.Fatal(err)
				}
				n, err := putUntilRefused(t, db)
				if !errors.Is(err, storage.ErrMoved) || handler.Status(err) != 503 || transaction.IsTransient(err) ||
					!strings.Contains(err.Error(), f.link) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want one line with the path and %q", err, tt.want)
				}
				if got := log.String(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, f.link) {
					t.Errorf("logged:\n%s", got)
				}
				if got := string(get(t, db, "n")); got != fmt.Sprint(n) || string(get(t, db, "before")) != "v" {
					t.Errorf("read %q, want %d", got, n)
				}
				saved := f.in("saved")
				if err := f.save(err.Error(), saved); err != nil {
					t.Fatal(err)
				}
				checkFile(t, saved)
				if got := string(get(t, mustOpen(t, saved), "n")); got != fmt.Sprint(n) {
					t.Errorf("saved %q, want %d", got, n)
				}
				if tt.back == nil {
					return
				}
				if err := tt.back(f); err != nil {
					t.Fatal(err)
				}
				mustPut(t, db, "after", "v")
				if got := log.String(); !strings.Contains(got, "writes go on") {
					t.Errorf("logged:\n%s", got)
				}
			})
		}
	}
}

func (f folder) open(t *testing.T, byURI bool, log io.Writer) *storage.DB {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, nil))
	var db *storage.DB
	var err error
	if byURI {
		opener := storage.NewOpener()
		opener.SetLogger(logger)
		bolt.Register(opener)
		db, err = opener.Open(t.Context(), "bolt://"+f.link)
	} else {
		db, err = bolt.Open(f.link, &bolt.Options{Logger: logger})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

// save follows the advice of the error: cp /proc/PID/fd/N COPY. On other systems than Linux it does
// nothing.
func (f folder) save(message, to string) error {
	_, rest, ok := strings.Cut(message, `"cp `)
	from, _, ok2 := strings.Cut(rest, " COPY")
	if !ok || !ok2 {
		return errors.New("the error does not say how to save the file: " + message)
	}
	return overwrite(from, to)
}

// putUntilRefused increments n until a commit is refused, and returns its last value.
func putUntilRefused(t *testing.T, db *storage.DB) (n int, err error) {
	t.Helper()
	until(t, "commits are refused", func() bool {
		if err = put(db, "n", fmt.Append(nil, n+1)); err == nil {
			n++
		}
		return err != nil
	})
	return n, err
}

// The first commit after a pause is already refused.
func TestMovedIsDetectedAtOnce(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := mustOpen(t, path)
	mustPut(t, db, "k", "v")
	bolt.Pause(db)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := put(db, "k", []byte("w")); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	if got := string(get(t, db, "k")); got != "v" {
		t.Errorf("got %q", got)
	}
	d := recorderOf(t, db)
	if _, err := d.Settle(t.Context(), "some"); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("settle: got %v, want ErrMoved", err)
	}
}

// When another program writes to the open file, the engine neither overwrites nor reads that
// content.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(f folder) error{
		"an equal database":  nil,
		"another database":   func(f folder) error { return overwrite(f.in("other/data.db"), f.path) },
		"an earlier state":   func(f folder) error { return overwrite(f.in("backup"), f.path) },
		"emptied":            func(f folder) error { return os.Truncate(f.path, 0) },
		"cut to its first":   func(f folder) error { return os.Truncate(f.path, 4096) },
		"cut in the middle":  func(f folder) error { return os.Truncate(f.path, 20*4096) },
		"emptied, same size": func(f folder) error { return errors.Join(os.Truncate(f.path, 0), os.Truncate(f.path, 8<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commits := 1
			if damage == nil { // that has as many commits of the same size
				commits = 11
				damage = func(f folder) error { return overwrite(f.in("other/data.db"), f.path) }
			}
			f := newFolder(t, commits)
			var log logBuffer
			db := f.open(t, true, &log)
			mustPut(t, db, "k", "v")
			if err := overwrite(f.path, f.in("backup")); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				mustPut(t, db, fmt.Sprint(i), strings.Repeat("v", 10000))
			}
			bolt.Pause(db)
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			err = put(db, "k", []byte("w"))
			if !errors.Is(err, storage.ErrMoved) || handler.Status(err) != 503 || !strings.Contains(err.Error(), "another program") {
				t.Errorf("got %v, want ErrMoved", err)
			}
			if _, err := fetch(db, "k"); !errors.Is(err, storage.ErrMoved) {
				t.Errorf("read: got %v, want ErrMoved", err)
			}
			if got := log.String(); strings.Count(got, "level=ERROR") != 1 {
				t.Errorf("logged:\n%s", got)
			}
			if after, err := os.ReadFile(f.path); err != nil || string(after) != string(before) {
				t.Errorf("the file was written to: %v", err)
			}
		})
	}
}

// A commit during which another program overwrites the file is not acknowledged.
func TestOverwrittenDuringCommit(t *testing.T) {
	t.Parallel()
	f := newFolder(t, 5)
	db := f.open(t, true, io.Discard)
	mustPut(t, db, "k", "v")
	bolt.SetCommit(db, bolt.CommitThen(func() error { return overwrite(f.in("other/data.db"), f.path) }))
	if err := put(db, "k", []byte("w")); !errors.Is(err, storage.ErrMoved) || !errors.Is(err, transaction.ErrInDoubt) {
		t.Errorf("got %v, want ErrMoved, and in doubt", err)
	}
}

// An Opener also refuses such a database, at once, for new users after a reload too.
func TestOpenMoved(t *testing.T) {
	t.Parallel()
	f := newFolder(t, 1)
	opener := storage.NewOpener()
	bolt.Register(opener)
	ctx, uri := context.Background(), "bolt://"+f.link
	db, err := opener.Open(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	again := func(want error) {
		t.Helper()
		next := opener.Renew()
		bolt.Register(next)
		db, err := next.Open(ctx, uri)
		if err == nil {
			err = db.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	again(nil)
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(os.Rename(f.path, f.in("old")))
	again(storage.ErrMoved)
	step(overwrite(f.in("old"), f.path))
	again(storage.ErrMoved)
	step(os.Rename(f.in("old"), f.path))
	again(nil)
	step(errors.Join(os.Remove(f.in("current")), os.Symlink("other", f.in("current"))))
	again(storage.ErrMoved)
	closeDB(t, db)
	db, err = opener.Open(ctx, uri) // no user of the old file is left
	step(err)
	if got := string(get(t, db, "k")); got != "other" {
		t.Errorf("got %q", got)
	}
	closeDB(t, db)
}

// If the file is replaced while opening waits for its lock, the new file is opened.
func TestReplacedWhileOpening(t *testing.T) {
	t.Parallel()
	f := newFolder(t, 1)
	first := f.open(t, false, io.Discard)
	mustPut(t, first, "k", "first")
	opened := make(chan error, 1)
	go func() {
		db, err := bolt.Open(f.link, &bolt.Options{LockTimeout: 1 << 40})
		if err == nil {
			var value []byte
			if value, err = fetch(db, "k"); string(value) != "other" {
				err = errors.Join(err, fmt.Errorf("got %q", value))
			}
			err = errors.Join(err, db.Close())
		}
		opened <- err
	}()
	if err := os.Rename(f.in("other/data.db"), f.path); err != nil {
		t.Fatal(err)
	}
	closeDB(t, first)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// usingHandler is a log handler that uses the database whose log it writes.
type usingHandler struct {
	slog.Handler
	use func(message string)
}

func (h usingHandler) Handle(_ context.Context, r slog.Record) error {
	h.use(r.Message)
	return nil
}

// A log handler may read from the database, and write to it.
func TestLogHandlerUsesDatabase(t *testing.T) {
	t.Parallel()
	f := newFolder(t, 1)
	var db *storage.DB
	var told []string
	opener := storage.NewOpener()
	bolt.Register(opener)
	opener.SetLogger(slog.New(usingHandler{slog.NewTextHandler(t.Output(), nil), func(message string) {
		told = append(told, message)
		err := put(db, "told", []byte(message))
		if refused := message != "the file is at its path again, writes go on"; errors.Is(err, storage.ErrMoved) != refused {
			t.Errorf("%s: put: got %v", message, err)
		}
	}}))
	db, err := opener.Open(t.Context(), "bolt://"+f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	mustPut(t, db, "k", "v")
	for _, step := range []func() error{
		func() error { return os.Rename(f.path, f.in("old")) },
		func() error { return os.Rename(f.in("old"), f.path) },
		func() error { return overwrite(f.in("other/data.db"), f.path) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		bolt.Pause(db)
		_ = put(db, "k", []byte("w"))
	}
	if len(told) != 3 {
		t.Errorf("got %q", told)
	}
}
