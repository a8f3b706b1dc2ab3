package site

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"time"
)

// sources caches the files of one load: each is read once, so that all parts of the load see the
// same content, even if a file is changed meanwhile. Later it reports whether a file has changed
// since. It is not safe for concurrent use.
type sources struct {
	files  map[string]readFile // nil after the load
	stamps map[string]stamp
}

type readFile struct {
	content []byte
	err     error
}

// A stamp identifies the state of a file.
type stamp struct {
	modified int64 // ns since 1970
	size     int64
	sum      [sha256.Size]byte
	fault    string // the error if it can't be read
	missing  bool
}

func newSources() *sources {
	return &sources{files: map[string]readFile{}, stamps: map[string]stamp{}}
}

// ReadFile is os.ReadFile for a load.
func (s *sources) ReadFile(name string) ([]byte, error) {
	if s.files == nil { // after the load, files are not watched
		return os.ReadFile(name)
	}
	file, ok := s.files[name]
	if !ok {
		info, err := os.Stat(name) // before reading, so that a later change is noticed
		file.content, file.err = os.ReadFile(name)
		if err == nil {
			err = file.err
		}
		s.files[name], s.stamps[name] = file, stampOf(info, file.content, err)
	}
	return file.content, file.err
}

// forget drops the contents after the load; only the stamps are needed from then on.
func (s *sources) forget() { s.files = nil }

func stampOf(info fs.FileInfo, content []byte, err error) stamp {
	if err != nil {
		return stamp{fault: err.Error(), missing: errors.Is(err, fs.ErrNotExist)}
	}
	s := stamp{modified: info.ModTime().UnixNano(), size: info.Size()}
	if info.Mode().IsRegular() {
		s.sum = sha256.Sum256(content)
	}
	return s
}

// look returns the current stamps of the files.
func (s *sources) look() map[string]stamp {
	now := make(map[string]stamp, len(s.stamps))
	for name := range s.stamps {
		var content []byte
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() { // reading from a pipe might block
			content, err = os.ReadFile(name)
		}
		now[name] = stampOf(info, content, err)
	}
	return now
}

// changed reports whether a file has changed since it was read. If so, it waits until all files
// have stayed the same for a quarter of the interval. A missing file may be about to be replaced,
// as some editors do it, so it has the whole interval to come back.
func (s *sources) changed(ctx context.Context, interval time.Duration) bool {
	now := s.look()
	for !maps.Equal(now, s.stamps) {
		quiet := interval / 4
		if s.vanished(now) {
			quiet = interval
		}
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return false
		}
		before := now
		if now = s.look(); maps.Equal(now, before) {
			return true
		}
	}
	return false
}

// vanished reports whether a file is missing that was there before.
func (s *sources) vanished(now map[string]stamp) bool {
	for name, stamp := range now {
		if stamp.missing && !s.stamps[name].missing {
			return true
		}
	}
	return false
}
