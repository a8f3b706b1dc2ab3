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

// A commit is worth nothing if the file is not at its path: the next start would find another file
// there, or none. So a writer looks for the file before it begins: at most once in lookEvery while
// commits follow one another, and always after a pause.
const (
	lookEvery = time.Second
	pause     = 10 * time.Millisecond
)

// A place is the open file, and where the next start will look for it.
type place struct {
	file   *os.File
	opened fs.FileInfo

	telling sync.Mutex           // guards the next two
	logger  *slog.Logger         // nil discards
	untold  []func(*slog.Logger) // see tell

	mu     sync.Mutex     // guards the rest
	paths  map[string]int // by how many it is called so; as written, links not followed
	looked time.Time
	wrote  time.Time
	size   int64 // that the file has had at least
	lost   error // why a path does not lead to the file, as of the last look; nil: all do

	// heads are the meta pages as the last writer has left them. Another program that writes to
	// the file in place, as cp does, changes at least one of them.
	heads    [2 * headSize]byte
	pageSize int64
}

// A movedError reports that writes are refused. Reads continue.
type movedError struct{ error }

func (e *movedError) Unwrap() []error { return []error{storage.ErrMoved, e.error} }

// HTTPStatus returns 503, Service Unavailable: the request may be repeated later.
func (*movedError) HTTPStatus() int { return 503 }

// Locate is called by a [storage.Opener] for each URI that the database is opened with.
func (e *database) Locate(uri *url.URL, logger *slog.Logger) (leave func(), err error) {
	path := filePath(uri)
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.views.Done()
	p := &e.place
	defer p.tell()
	e.lockWriter()
	defer e.unlockWriter()
	leave = p.add(path, logger)
	if err := e.inPlace(true); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (p *place) add(path string, logger *slog.Logger) (leave func()) {
	p.telling.Lock()
	if p.logger == nil {
		p.logger = logger
	}
	p.telling.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paths == nil {
		p.paths = map[string]int{}
	}
	p.paths[path]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.paths[path]--; p.paths[path] == 0 {
			delete(p.paths, path)
		}
	})
}

// inPlace returns an error if a write would be lost now, because the file is not at its path any
// more, or another program has written to it. A writer calls it before it begins. With always, it
// checks the path even if the last check was a moment ago.
func (e *database) inPlace(always bool) error {
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	p := &e.place
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.untouched(); err != nil {
		return e.overwritten(err)
	}
	now := time.Now()
	if !always && p.lost == nil && now.Sub(p.looked) < lookEvery && now.Sub(p.wrote) < pause {
		return nil
	}
	p.looked = now
	before := p.lost
	var short error
	p.lost, short = p.look()
	switch {
	case short != nil:
		return e.overwritten(short)
	case p.lost != nil && before == nil:
		p.report("writes are refused", p.lost)
	case p.lost == nil && before != nil:
		p.report("the file is at its path again, writes go on", nil)
	}
	return p.lost
}

// look checks the files at the paths. It returns lost if one is not the open file, and short if the
// open file was truncated.
func (p *place) look() (lost, short error) {
	for path := range p.paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return p.moved(path, "it was deleted or renamed"), nil
		case err != nil:
			return p.moved(path, err.Error()), nil
		case !os.SameFile(info, p.opened):
			return p.moved(path, "another file is there now"), nil
		case info.Size() < max(p.size, p.inUse()):
			return nil, fmt.Errorf("it was cut off, from %d bytes to %d", max(p.size, p.inUse()),
				info.Size())
		}
		p.size = info.Size()
	}
	return nil, nil
}

func (p *place) moved(path, what string) error {
	remedy := "save a copy of it"
	if runtime.GOOS == "linux" {
		remedy = fmt.Sprintf("save what is in it with \"cp /proc/%d/fd/%d COPY\"", os.Getpid(),
			p.file.Fd())
	}
	return &movedError{fmt.Errorf("%w: at %s is not the file that is open (%s), so nothing is written: "+
		"put it back there, or %s while this process runs, make that the file, and restart",
		storage.ErrMoved, path, what, remedy)}
}

// overwritten makes all later operations fail: another program has changed the pages that the
// memory map shows.
func (e *database) overwritten(err error) error {
	moved := error(&movedError{fmt.Errorf("%w: another program has written to the open file (%w), "+
		"so nothing is read and nothing is written: "+
		"see that the file is the right one, or restore it from a backup, and restart", storage.ErrMoved, err)})
	if e.broken.CompareAndSwap(nil, &moved) {
		e.place.report("the database can't be used any more", moved)
	}
	return *e.broken.Load()
}

// untouched returns an error if the meta pages are not as the last writer left them.
func (p *place) untouched() error {
	heads, err := p.readHeads()
	if err != nil {
		return err
	}
	if heads != p.heads {
		return errors.New("its first pages have changed")
	}
	return nil
}

// remember is called by a writer that has ended, with or without success. If it has committed the
// bbolt transaction id, the meta page that this did not write must be unchanged.
func (p *place) remember(id uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrote = time.Now()
	heads, err := p.readHeads()
	if err != nil {
		return err
	}
	if other := (id + 1) % 2 * headSize; id > 0 &&
		!bytes.Equal(heads[other:other+headSize], p.heads[other:other+headSize]) {
		return errors.New("its first pages have changed meanwhile")
	}
	p.heads = heads
	return nil
}

// The layout of a meta page of bbolt, and its magic number.
const (
	markAt       = 16
	pagesInUseAt = 56
	headSize     = 80

	mark = 0xED0CDAED
)

func (p *place) readHeads() (heads [2 * headSize]byte, err error) {
	marked := false
	for i := range int64(2) {
		head := heads[i*headSize : (i+1)*headSize]
		if _, err := p.file.ReadAt(head, i*p.pageSize); err != nil {
			return heads, err
		}
		marked = marked || binary.NativeEndian.Uint32(head[markAt:]) == mark // one may be damaged
	}
	if !marked {
		return heads, errors.New("its first pages are not those of a database")
	}
	return heads, nil
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

// inUse returns the minimal length of the file for the committed pages, in bytes.
func (p *place) inUse() int64 {
	pages := max(binary.NativeEndian.Uint64(p.heads[pagesInUseAt:]),
		binary.NativeEndian.Uint64(p.heads[headSize+pagesInUseAt:]))
	return int64(pages) * p.pageSize //nolint:gosec // as bbolt computes it
}

// report queues a log line for tell: an error, or with nil that it is over.
func (p *place) report(message string, err error) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.untold = append(p.untold, func(logger *slog.Logger) {
		if err != nil {
			logger.Error(message, slog.Any("error", err)) //nolint:sloglint // constants of the callers
		} else {
			logger.Info(message, slog.String("path", p.file.Name())) //nolint:sloglint // constants of the callers
		}
	})
}

// tell writes the queued log lines. It is called with no lock held, and not by the leader of a
// group that has not ended, because the log's handler may use the database.
func (p *place) tell() {
	p.telling.Lock()
	untold, logger := p.untold, p.logger
	p.untold = nil
	p.telling.Unlock()
	if logger == nil {
		return
	}
	for _, line := range untold {
		line(logger)
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
