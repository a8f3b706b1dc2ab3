package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// A commit is lost if the file is not at its path: the next start would find another file there, or
// none. So a writer checks the path before it begins: at most once in checkEvery while commits
// follow one another, and always after a pause.
const (
	checkEvery = time.Second
	pause      = 10 * time.Millisecond
)

// A location is the open file, and the paths at which the next start will look for it.
type location struct {
	file   *os.File
	opened fs.FileInfo

	logMu      sync.Mutex           // guards the next two
	logger     *slog.Logger         // nil discards
	pendingLog []func(*slog.Logger) // see flushLog

	mu      sync.Mutex     // guards the rest
	paths   map[string]int // as written, links not followed; with the number of users
	checked time.Time
	wrote   time.Time
	size    int64 // the file was at least this long
	lost    error // why a path does not lead to the file, as of the last check; nil: all do

	// meta is the content of bbolt's meta pages after the last write. Another program that writes
	// to the file in place, as cp does, changes at least one of them.
	meta     [2 * metaSize]byte
	pageSize int64
}

// A movedError reports that writes are refused. Reads continue.
type movedError struct{ error }

func (e *movedError) Unwrap() []error { return []error{storage.ErrMoved, e.error} }

// HTTPStatus returns 503, Service Unavailable: the request may be repeated later.
func (*movedError) HTTPStatus() int { return 503 }

// Locate is called by a [storage.Opener] for each URI that the database is opened with.
func (e *database) Locate(uri *url.URL, logger *slog.Logger) (release func(), err error) {
	path := filePath(uri)
	if err := e.acquire(); err != nil {
		return nil, err
	}
	defer e.release()
	l := &e.location
	defer l.flushLog()
	e.lockWriter()
	defer e.unlockWriter()
	release = l.add(path, logger)
	if err := e.checkWritable(true); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (l *location) add(path string, logger *slog.Logger) (release func()) {
	l.logMu.Lock()
	if l.logger == nil {
		l.logger = logger
	}
	l.logMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paths == nil {
		l.paths = map[string]int{}
	}
	l.paths[path]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.paths[path]--; l.paths[path] == 0 {
			delete(l.paths, path)
		}
	})
}

// checkWritable returns an error if a write would be lost now, because the file is not at its path
// any more, or another program has written to it. A writer calls it before it begins. With always,
// it checks the path even if the last check was a moment ago.
func (e *database) checkWritable(always bool) error {
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	l := &e.location
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkMeta(); err != nil {
		return e.failOverwritten(err)
	}
	now := time.Now()
	if !always && l.lost == nil && now.Sub(l.checked) < checkEvery && now.Sub(l.wrote) < pause {
		return nil
	}
	l.checked = now
	before := l.lost
	var short error
	l.lost, short = l.checkPaths()
	switch {
	case short != nil:
		return e.failOverwritten(short)
	case l.lost != nil && before == nil:
		refused := slog.Any("error", l.lost)
		l.queueLog(func(logger *slog.Logger) { logger.Error("writes are refused", refused) })
	case l.lost == nil && before != nil:
		path := slog.String("path", l.file.Name())
		l.queueLog(func(logger *slog.Logger) {
			logger.Info("the file is at its path again, writes go on", path)
		})
	}
	return l.lost
}

// checkPaths checks the files at the paths. It returns lost if one is not the open file, and short
// if the open file was truncated.
func (l *location) checkPaths() (lost, short error) {
	for path := range l.paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return l.moved(path, "it was deleted or renamed"), nil
		case err != nil:
			return l.moved(path, err.Error()), nil
		case !os.SameFile(info, l.opened):
			return l.moved(path, "another file is there now"), nil
		case info.Size() < max(l.size, l.sizeInUse()):
			return nil, fmt.Errorf("it was truncated, from %d bytes to %d",
				max(l.size, l.sizeInUse()), info.Size())
		}
		l.size = info.Size()
	}
	return nil, nil
}

func (l *location) moved(path, what string) error {
	remedy := "save a copy of it"
	if runtime.GOOS == "linux" {
		remedy = fmt.Sprintf("save what is in it with \"cp /proc/%d/fd/%d COPY\"", os.Getpid(),
			l.file.Fd())
	}
	return &movedError{fmt.Errorf("%w: at %s is not the file that is open (%s), "+
		"so nothing is written: put it back there, "+
		"or %s while this process runs, make that the file, and restart",
		storage.ErrMoved, path, what, remedy)}
}

// failOverwritten makes all later operations fail: another program has changed the pages that the
// memory map shows.
func (e *database) failOverwritten(err error) error {
	moved := error(&movedError{fmt.Errorf("%w: another program has written to the open file (%w), "+
		"so nothing is read and nothing is written: "+
		"put the right file there, or restore it from a backup, and restart",
		storage.ErrMoved, err)})
	if e.broken.CompareAndSwap(nil, &moved) {
		e.location.queueLog(func(logger *slog.Logger) {
			logger.Error("the database can't be used any more", slog.Any("error", moved))
		})
	}
	return *e.broken.Load()
}

// checkMeta returns an error if the meta pages are not as the last writer left them.
func (l *location) checkMeta() error {
	meta, err := l.readMeta()
	if err != nil {
		return err
	}
	if meta != l.meta {
		return errors.New("its first pages have changed")
	}
	return nil
}

// recordMeta records the meta pages after a write, successful or not. If the bbolt transaction id
// was committed, the meta page that it did not write must be unchanged.
func (l *location) recordMeta(id uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote = time.Now()
	meta, err := l.readMeta()
	if err != nil {
		return err
	}
	if other := (id + 1) % 2 * metaSize; id > 0 &&
		!bytes.Equal(meta[other:other+metaSize], l.meta[other:other+metaSize]) {
		return errors.New("its first pages have changed meanwhile")
	}
	l.meta = meta
	return nil
}

// The layout of a meta page of bbolt, and its magic number.
const (
	magicAt      = 16
	freeListAt   = 48
	pagesInUseAt = 56
	txAt         = 64
	metaSize     = 80

	magic = 0xED0CDAED
)

func (l *location) readMeta() (meta [2 * metaSize]byte, err error) {
	valid := false
	for i := range int64(2) {
		page := meta[i*metaSize : (i+1)*metaSize]
		if _, err := l.file.ReadAt(page, i*l.pageSize); err != nil {
			return meta, err
		}
		valid = valid || binary.NativeEndian.Uint32(page[magicAt:]) == magic // one may be damaged
	}
	if !valid {
		return meta, errors.New("its first pages are not those of a database")
	}
	return meta, nil
}

// isOwn returns an error if tx shows another database than the one that was opened. That may have
// the same meta pages, if the same number of transactions was written to it.
func (e *database) isOwn(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	if meta := tx.Bucket(metaBucket); meta == nil || string(meta.Get(identityKey)) != e.id {
		return errors.New("it has the content of another database")
	}
	return nil
}

// sizeInUse returns the minimal length of the file for the committed pages, in bytes.
func (l *location) sizeInUse() int64 {
	pages := max(binary.NativeEndian.Uint64(l.meta[pagesInUseAt:]),
		binary.NativeEndian.Uint64(l.meta[metaSize+pagesInUseAt:]))
	return int64(pages) * l.pageSize //nolint:gosec // a file is smaller
}

// queueLog queues a function for flushLog, which writes a log line.
func (l *location) queueLog(write func(*slog.Logger)) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	l.pendingLog = append(l.pendingLog, write)
}

// flushLog writes the queued log lines. It is called with no lock held, and not by the leader of a
// group that has not ended, because the log's handler may use the database.
func (l *location) flushLog() {
	l.logMu.Lock()
	pendingLog, logger := l.pendingLog, l.logger
	l.pendingLog = nil
	l.logMu.Unlock()
	if logger == nil {
		return
	}
	for _, write := range pendingLog {
		write(logger)
	}
}

// isAt reports whether the file at path is f.
func isAt(path string, f fs.FileInfo) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, f)
}

// absolute returns path independent of later changes of the working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
