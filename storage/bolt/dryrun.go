package bolt

import (
	"errors"
	"io/fs"
	"os"

	"github.com/pasteline/pasteline/internal/probe"
	"github.com/pasteline/pasteline/storage/engine"
)

// An unopened is the engine of a file that could be opened, but was not. Only Close may be called.
type unopened struct{ engine.Engine }

func (unopened) Close() error { return nil }

// dryOpen returns the error with which openEngine would fail, and changes nothing: no file is
// created, and an empty one stays empty.
func dryOpen(path string, o Options) (engine.Engine, error) {
	path = follow(path)
	if _, _, err := checkFile(path, o.withDefaults(), skipNone); err != nil {
		return nil, remedy(err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return unopened{}, nil // checkFile has found that it can be created
	}
	if err := probe.Write(path); err != nil {
		return nil, explain(err)
	}
	return unopened{}, nil
}
