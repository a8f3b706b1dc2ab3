package bolt

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// bbolt makes a file a database by writing its first pages in one go. After a power cut meanwhile the
// file has some of that and zeros, and no commit: it can be made anew. (To write the pages to a
// file of another name, and to rename it, would not keep the lock: that belongs to the file.)

// firstPages is how many pages bbolt writes to an empty file.
const firstPages = 4

func isUnfinishedAt(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	return isUnfinished(f)
}

// isUnfinished reports whether f has a part of the first pages and nothing else.
func isUnfinished(f *os.File) bool {
	size := firstPages * os.Getpagesize()
	content := make([]byte, size+1)
	n, err := f.ReadAt(content, 0)
	if err != io.EOF || n > size { //nolint:errorlint // as io.ReaderAt has it
		return false
	}
	content = content[:size]
	if len(bytes.Trim(content, "\x00")) == 0 {
		return true // nothing but zeros
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
	defer os.RemoveAll(dir) //nolint:errcheck // there is nothing else to do about it
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
