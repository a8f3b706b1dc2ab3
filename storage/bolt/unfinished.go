package bolt

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// bbolt initializes a file by writing its first pages at once. After a power cut during that, the
// file holds a part of them and zeros, and no commit: it can be initialized again. (Writing the
// pages to a file of another name and renaming it would lose the lock, which belongs to the file.)

// firstPages is the number of pages that bbolt writes to an empty file.
const firstPages = 4

func isUnfinishedAt(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only read
	return isUnfinished(f)
}

// isUnfinished reports whether f holds only a part of the first pages.
func isUnfinished(f *os.File) bool {
	size := firstPages * os.Getpagesize()
	content := make([]byte, size+1)
	n, err := f.ReadAt(content, 0)
	if !errors.Is(err, io.EOF) || n > size {
		return false
	}
	content = content[:size]
	if len(bytes.Trim(content, "\x00")) == 0 {
		return true // only zeros
	}
	complete, err := firstContent()
	if err != nil || len(complete) != size || n == size && bytes.Equal(content, complete) {
		return false
	}
	for i, b := range content {
		if b != 0 && b != complete[i] {
			return false
		}
	}
	return true
}

// firstContent returns the first pages, as bbolt writes them.
func firstContent() ([]byte, error) {
	dir, err := os.MkdirTemp("", "pasteline-bolt-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a failure is harmless
	path := filepath.Join(dir, "empty.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
