// Package changes notices that files have changed, by polling: by their times, sizes and, on
// request, contents.
//
//	before := changes.Look(names, changes.ReadStamp)
//	…
//	look := func() changes.Stamps { return changes.Look(names, changes.ReadStamp) }
//	if changes.Settled(ctx, before, look, time.Second) {
//		reload()
//	}
//
// Polling needs no library, works on every system and network file system, and also notices files
// that an editor replaces. serve --reload and serve --watch use it.
package changes

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"time"
)

// A Stamp identifies the state of a file.
type Stamp struct {
	modified int64 // ns since 1970
	size     int64
	sum      [sha256.Size]byte // of the content, if that was read
	fault    string            // the error if it can't be read
	missing  bool
}

// Stamps are the stamps of files by their paths.
type Stamps map[string]Stamp

// StampOf returns the stamp of a file that has been read. info is from before the reading, so that
// a later change is noticed.
func StampOf(info fs.FileInfo, content []byte, err error) Stamp {
	if err != nil {
		return Stamp{fault: err.Error(), missing: errors.Is(err, fs.ErrNotExist)}
	}
	s := Stamp{modified: info.ModTime().UnixNano(), size: info.Size()}
	if info.Mode().IsRegular() && content != nil {
		s.sum = sha256.Sum256(content)
	}
	return s
}

// ReadStamp returns the stamp of a file by its time, size and content.
func ReadStamp(name string) Stamp {
	var content []byte
	info, err := os.Stat(name)
	if err == nil && info.Mode().IsRegular() { // reading from a pipe might block
		content, err = os.ReadFile(name)
	}
	return StampOf(info, content, err)
}

// StatStamp returns the stamp of a file by its time and size.
func StatStamp(name string) Stamp {
	info, err := os.Stat(name)
	return StampOf(info, nil, err)
}

// Look returns the current stamps of files.
func Look(names []string, stamp func(name string) Stamp) Stamps {
	now := make(Stamps, len(names))
	for _, name := range names {
		now[name] = stamp(name)
	}
	return now
}

// Settled reports whether what look returns differs from before. If so, it waits until all files
// have stayed the same for a quarter of the interval. A missing file may be about to be replaced,
// as some editors do it, so it has the whole interval to come back. If ctx is done meanwhile,
// Settled returns false.
func Settled(ctx context.Context, before Stamps, look func() Stamps, interval time.Duration) bool {
	now := look()
	for !maps.Equal(now, before) {
		quiet := interval / 4
		if vanished(before, now) {
			quiet = interval
		}
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return false
		}
		last := now
		if now = look(); maps.Equal(now, last) {
			return true
		}
	}
	return false
}

// vanished reports whether a file is missing that was there before.
func vanished(before, now Stamps) bool {
	for name, stamp := range now {
		if stamp.missing && !before[name].missing {
			return true
		}
	}
	return false
}
