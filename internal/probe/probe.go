package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNoFiles is returned for a folder in which only the system creates files, such as /proc.
var ErrNoFiles = errors.New("no file can be made in that folder")

// Create returns the error with which os.OpenFile would fail to create the file name, which must
// not exist. It returns nil if the system can't tell in advance. Errors are those of package os:
// for a folder that does not exist fs.ErrNotExist, for one that can't be written to
// fs.ErrPermission, or another error of the system.
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

// Write returns the error with which os.OpenFile would fail to open the existing file name for
// writing. It does not change the file.
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
