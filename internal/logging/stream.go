package logging

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A stream writes whole lines, for several handlers.
type stream struct {
	mu       sync.Mutex // guards all
	w        io.Writer
	file     *os.File // what w is; nil for what others close
	fallback *stream  // where lines go that can't be written; nil for nowhere
}

func (s *stream) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.w.Write(line)
	if err != nil && s.fallback != nil {
		return s.fallback.Write(line)
	}
	return n, err
}

// close closes the file. What is written later, by those who do not know yet, goes to the successor, or else to the fallback.
func (s *stream) close(successor *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = cmp.Or(successor, s.fallback)
	return s.file.Close()
}

// reopen goes on in the file that has the name of the target now.
func (s *stream) reopen(t target) error {
	f, err := openFile(t)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.file
	s.w, s.file = f, f
	return before.Close()
}

// fileMode lets the group read: that is how logs are collected.
const fileMode = 0o640

func openFile(t target) (*os.File, error) {
	f, err := os.OpenFile(t.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, t.fault(err)
	}
	return f, nil
}

// checkFile finds out whether a file could be opened, and changes nothing.
func checkFile(t target) error {
	info, err := os.Stat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err = os.Stat(filepath.Dir(t.name)); err == nil && info.IsDir() {
			return nil // it would be made
		}
		return t.fault(fs.ErrNotExist)
	case err != nil:
		return t.fault(err)
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil // to open a pipe would be to wait for who reads it
	}
	f, err := os.OpenFile(t.name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return t.fault(err)
	}
	return f.Close()
}

// fault says why the file can't be opened, and what to do about it.
func (t target) fault(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // the rest is said anyway
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault(&t.setting, fmt.Errorf("there is no folder %s", filepath.Dir(t.name)), "make it, or name another file")
	}
	return fault(&t.setting, fmt.Errorf("can't open the log file: %w", err), "want the path of a file that may be written to")
}
