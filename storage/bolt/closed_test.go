package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
)

// largeFile writes a file that is large enough for Close to save the list of free pages, with free
// pages in it.
func largeFile(tb testing.TB) (path string) {
	tb.Helper()
	path = tempFile(tb)
	db := open(tb, path)
	for i := range 12 {
		if err := put(db, fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 1<<20)); err != nil {
			tb.Fatal(err)
		}
	}
	mustPut(tb, db, "3", "short")
	closeDB(tb, db)
	return path
}

// freeList returns the page of the list of free pages, or 0, and the pages on it.
func freeList(tb testing.TB, path string) (page int64, free []uint64) {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	meta := content
	if other := content[os.Getpagesize():]; number(other, 64) > number(meta, 64) { // is newer
		meta = other
	}
	if page = int64(number(meta, 48)); page == -1 {
		return 0, nil
	}
	at := content[page*int64(os.Getpagesize()):]
	for i := range int(binary.NativeEndian.Uint16(at[10:])) {
		free = append(free, number(at, 16+8*i))
	}
	return page, free
}

func number(content []byte, at int) uint64 { return binary.NativeEndian.Uint64(content[at:]) }

func TestFreePagesAreSaved(t *testing.T) {
	t.Parallel()
	path := largeFile(t)
	page, free := freeList(t, path)
	if page == 0 || len(free) < 200 {
		t.Fatalf("page %d lists %d free pages, want some 256", page, len(free))
	}
	checkFile(t, path)

	db := open(t, path) // reads the list
	if got := get(t, db, "3"); string(got) != "short" {
		t.Errorf("got %q, want short", got)
	}
	closeDB(t, db)
	if again, _ := freeList(t, path); again != page {
		t.Errorf("reading has moved the list from page %d to %d", page, again)
	}

	db = open(t, path)
	mustPut(t, db, "4", "short")
	copied := filepath.Join(t.TempDir(), "copy.db") // as after a kill: the list is not saved
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	for _, path := range []string{path, copied} {
		checkFile(t, path)
		db := open(t, path)
		if got := get(t, db, "4"); string(got) != "short" {
			t.Errorf("got %q, want short", got)
		}
		mustPut(t, db, "5", "short")
		closeDB(t, db)
		checkFile(t, path)
	}
	if _, free := freeList(t, path); len(free) < 700 {
		t.Errorf("the list has %d free pages, want some 768", len(free))
	}
}

// A small file has no list: it costs a commit, and saves nothing.
func TestFreePagesOfASmallFile(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	mustPut(t, db, "a", "1")
	closeDB(t, db)
	if page, _ := freeList(t, path); page != 0 {
		t.Errorf("page %d lists free pages", page)
	}
}

// A large file that was damaged after it was closed is opened, but not written to.
func TestDamagedAfterClose(t *testing.T) {
	t.Parallel()
	size := int64(os.Getpagesize())
	closed := largeFile(t)
	list, free := freeList(t, closed)
	before, err := os.ReadFile(closed)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		damage func(f *os.File, list int64, free []uint64) error
	}{
		{"a used page is listed as free", func(f *os.File, list int64, free []uint64) error {
			_, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, free[0]-1), list*size+16)
			return err
		}},
		{"a free page is listed twice", func(f *os.File, list int64, free []uint64) error {
			_, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, free[1]), list*size+16)
			return err
		}},
		{"a page of the tree names another", func(f *os.File, list int64, free []uint64) error {
			for page := int64(2); ; page++ { // the leaf with the values, which continues
				header := make([]byte, 16)
				if _, err := f.ReadAt(header, page*size); err != nil {
					return err
				}
				isFree := false
				for _, id := range free {
					isFree = isFree || int64(id) == page
				}
				if !isFree && binary.NativeEndian.Uint16(header[8:]) == 2 &&
					binary.NativeEndian.Uint32(header[12:]) > 200 {
					_, err := f.WriteAt([]byte{1}, page*size+4)
					return err
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := tempFile(t)
			if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := tt.damage(f, list, free); err != nil {
				t.Fatal(err)
			}
			damaged, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			db, err := bolt.Open(path, nil)
			if err == nil {
				err = put(db, "0", []byte("short"))
				closeDB(t, db)
			}
			if !errors.Is(err, storage.ErrDamaged) ||
				!strings.Contains(err.Error(), "restore it from a backup") {
				t.Errorf("got %v, want ErrDamaged with a remedy", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(damaged, after) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}
