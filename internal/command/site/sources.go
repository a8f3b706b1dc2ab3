package site

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/pasteline/pasteline/internal/command/changes"
)

// sources caches the files of one load: each is read once, so that all parts of the load see the
// same content, even if a file is changed meanwhile. Later it reports whether a file has changed
// since. It is not safe for concurrent use.
type sources struct {
	files  map[string]readFile // nil after the load
	stamps changes.Stamps
}

type readFile struct {
	content []byte
	err     error
}

func newSources() *sources {
	return &sources{files: map[string]readFile{}, stamps: changes.Stamps{}}
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
		s.files[name], s.stamps[name] = file, changes.StampOf(info, file.content, err)
	}
	return file.content, file.err
}

// forget drops the contents after the load; only the stamps are needed from then on.
func (s *sources) forget() { s.files = nil }

// look returns the current stamps of the files.
func (s *sources) look() changes.Stamps {
	return changes.Look(slices.Collect(maps.Keys(s.stamps)), changes.ReadStamp)
}

// changed reports whether a file has changed since it was read, and is no longer written to.
func (s *sources) changed(ctx context.Context, interval time.Duration) bool {
	return changes.Settled(ctx, s.stamps, s.look, interval)
}
