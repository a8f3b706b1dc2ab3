package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNoFiles is the reason why a folder can't have a new file: those in it are made by the system alone, as in /proc.
var ErrNoFiles = errors.New("no file can be made in that folder")

// Create returns the error with which os.OpenFile would fail to make a file of that name, which must not exist. Where the system
// can't tell in advance, it returns nil. Errors are those of package os: a folder that does not exist is fs.ErrNotExist, one that
// can't be written to fs.ErrPermission, or what else the system says.
func Create(name string) error {
	dir := filepath.Dir(name)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return &fs.PathError{Op: "open", Path: dir, Err: errNotDir}
	}
	if err := create(dir); err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return nil
}

// Write returns the error with which os.OpenFile would fail to open a file that exists for writing. The file stays as it is.
func Write(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}
