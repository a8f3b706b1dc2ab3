package logging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/probe"
)

// A stream writes whole lines for several handlers.
type stream struct {
	mu       sync.Mutex // guards the rest
	w        io.Writer
	file     *os.File // the same file as w; nil if it must not be closed here
	fallback *stream  // takes lines that can't be written; may be nil

	// The rest is for files.
	target target
	report func(message string, err error) // logs an error, without waiting
	at     time.Time                       // time of the next rotation
	again  time.Time                       // earliest time of the next try to rotate or open it
	full   bool                            // the last line could not be written
}

// Unwrap returns the writer below, so that a terminal is found.
func (s *stream) Unwrap() io.Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w
}

// Write writes a line. Before that it rotates a file that is due, or reopens one that was moved.
// If that fails, the line is written all the same.
func (s *stream) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil && s.w == s.file {
		if message, err := s.prepare(len(line)); err != nil {
			s.again = time.Now().Add(tryAgain)
			s.report(message, err)
		}
	}
	n, err := s.w.Write(line)
	switch {
	case err == nil:
		s.full = false
	case s.fallback != nil:
		if !s.full && s.report != nil {
			s.full = true
			s.report("can't write to a log file, its lines go to the standard error", err)
		}
		return s.fallback.Write(line)
	}
	return n, err
}

// tryAgain is the time between a failed rotation and the next try.
const tryAgain = time.Minute

// prepare rotates or reopens the file, if needed, before a line of that many bytes is written. The
// message describes a failure.
func (s *stream) prepare(line int) (message string, err error) {
	if !s.target.watch && s.target.rotation == nil {
		return "", nil
	}
	now := time.Now()
	if now.Before(s.again) {
		return "", nil
	}
	if s.target.watch && s.moved() {
		if err := s.reopen(); err != nil {
			return notOpened, err
		}
	}
	info, err := s.file.Stat()
	if err != nil || !s.target.rotation.due(info, line, s.at, now) {
		return "", nil //nolint:nilerr // then the line can't be written either
	}
	if s.moved() { // by another program, perhaps to a new file
		if err := s.reopen(); err != nil {
			return notOpened, err
		}
		if info, err = s.file.Stat(); err != nil || !s.target.rotation.due(info, line, s.at, now) {
			return "", nil //nolint:nilerr // as above
		}
	}
	if err := s.putAside(now); err != nil {
		return "can't put a log file aside, and go on writing to it", err
	}
	return "", nil
}

const notOpened = "can't open a log file that was moved, the old one stays open"

// moved reports whether the path no longer names the open file.
func (s *stream) moved() bool {
	is, err := s.file.Stat()
	named, nameErr := os.Stat(s.target.name)
	return err == nil && (nameErr != nil || !os.SameFile(is, named))
}

// putAside renames the file to a backup and begins a new one. After an error lines are still
// written somewhere.
func (s *stream) putAside(now time.Time) error {
	if runtime.GOOS == "windows" { // where an open file can't be renamed
		_ = s.file.Close()
	}
	err := s.target.rotation.putAside(s.target.name, s.at, now)
	if runtime.GOOS == "windows" || s.moved() {
		if opened := s.reopen(); opened != nil {
			return errors.Join(err, opened) // the next try finds the file moved
		}
	}
	if err == nil {
		s.at = s.target.rotation.next(now)
	}
	return err
}

// close closes the file. Lines that handlers of an older state write later go to the fallback.
func (s *stream) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = s.fallback
	return s.file.Close()
}

// Reopen opens the file that has the path of the target now.
func (s *stream) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reopen()
}

// reopen is Reopen with mu held.
func (s *stream) reopen() error {
	f, err := openFile(s.target)
	if err == nil {
		s.useFile(f)
	}
	return err
}

// takeOver replaces the target by a later one with the same path, and the file by f.
func (s *stream) takeOver(t target, f openedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = t
	s.useFile(f)
}

func (s *stream) useFile(f openedFile) {
	before := s.file
	s.w, s.file, s.at = f.File, f.File, f.at
	_ = before.Close() // all lines are written
}

// fileMode lets the group read, for programs that collect logs.
const fileMode = 0o640

// An openedFile is a log file with the time of its next rotation.
type openedFile struct {
	*os.File
	at time.Time
}

// openFile opens a log file. Its next rotation depends on its last write, so that a restart does
// not delay it.
func openFile(t target) (openedFile, error) {
	written := time.Now()
	if info, err := os.Stat(t.name); err == nil {
		written = info.ModTime()
	}
	f, err := os.OpenFile(t.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return openedFile{}, t.fault(err)
	}
	return openedFile{f, t.rotation.next(written)}, nil
}

func newStream(t target, f openedFile, fallback *stream, report func(string, error)) *stream {
	return &stream{w: f.File, file: f.File, at: f.at, fallback: fallback, target: t, report: report}
}

// checkFile returns the error of openFile, and changes nothing.
func checkFile(t target) error {
	info, err := os.Stat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err = os.Stat(filepath.Dir(t.name)); err == nil && info.IsDir() {
			if err := probe.Create(t.name); err != nil {
				return t.fault(err)
			}
			return nil // it would be created
		}
		return t.fault(fs.ErrNotExist)
	case err != nil:
		return t.fault(err)
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil // opening a pipe would wait for its reader
	}
	f, err := os.OpenFile(t.name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return t.fault(err)
	}
	return f.Close()
}

// fault returns the error for a file that can't be opened, with a remedy.
func (t target) fault(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // the text below has the rest
	}
	if info, missing := os.Stat(filepath.Dir(t.name)); errors.Is(err, fs.ErrNotExist) &&
		missing == nil && info.IsDir() {
		err = probe.ErrNoFiles // as in /proc
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault(&t.setting, fmt.Errorf("there is no folder %s", filepath.Dir(t.name)),
			"make it, or name another file")
	}
	return fault(&t.setting, fmt.Errorf("can't open the log file: %w", err),
		"want the path of a file that may be written to")
}
