package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/pasteline/pasteline/internal/probe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

// The defaults of [Options].
const (
	DefaultMmapSize    = 16 << 30
	DefaultLockTimeout = time.Second
)

// Options say how a file is opened. The zero Options are the defaults.
type Options struct {
	// MmapSize is the address space to reserve for the file, in bytes; zero means DefaultMmapSize
	// (or, on 32-bit systems and on Windows, where it would be the size of the file, only as much
	// as is needed). It costs no memory and is no limit. But when the file outgrows it, bbolt has
	// to map it again, and can do so only when all open snapshots are closed; meanwhile commits and
	// new snapshots wait. In the URI: mmap_size, in bytes, or such as 512MiB or 64GiB.
	MmapSize int64

	// LockTimeout is the time to wait for another process that has the file open; zero means
	// DefaultLockTimeout.
	// In the URI: lock_timeout, such as 5s.
	LockTimeout time.Duration

	// Logger receives a line when writes are refused because the file is not at its path any more,
	// and when they are accepted again. Nil discards. For databases opened by URI, use
	// [storage.Opener.SetLogger].
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MmapSize == 0 && ^uint(0)>>63 == 1 && runtime.GOOS != "windows" {
		o.MmapSize = DefaultMmapSize
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	return o
}

// growth is the number of bytes by which a full file is extended. Each extension costs another
// fsync, which is negligible beside those of the load that makes the file grow; bbolt's own
// default, 16 MB, would be the size of a small site's file.
const growth = 1 << 20

func (o Options) bbolt() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         o.LockTimeout,
		InitialMmapSize: int(min(o.MmapSize, math.MaxInt)),

		// The list of free pages is kept in memory only, and rebuilt at opening from the pages that
		// the committed tree does not refer to. So a crash can't leave a wrong one, and after a
		// large deletion commits don't write a long list each time. The price is that opening reads
		// the tree, except after saveFreePages.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	}
}

// openEngine opens the file at path. Its errors don't name path.
func openEngine(path string, o Options) (_ *database, err error) {
	defer func() { err = remedy(err) }()
	o = o.withDefaults()
	const tries = 10
	for range tries {
		e, err := openOnce(path, o)
		if err == nil || !errors.Is(err, errReplaced) {
			return e, err
		}
	}
	return nil, errReplaced
}

func remedy(err error) error {
	if errors.Is(err, storage.ErrDamaged) {
		return fmt.Errorf("%w: restore it from a backup, or name another file", err)
	}
	return err
}

// errReplaced reports that the file at the path was replaced by another one during opening.
var errReplaced = errors.New("the file is replaced by another one again and again: " +
	"stop the program that does so")

func openOnce(path string, o Options) (*database, error) {
	path = follow(path) // so that a file that a link leads to can be created
	checked, found, err := checkFile(path, o, isLargeAndClosed)
	if err != nil {
		return nil, err
	}
	e := &database{commitTx: (*bbolt.Tx).Commit}
	options := o.bbolt()
	options.OpenFile = e.openForWriting
	if e.db, err = openFile(path, options); err != nil {
		e.discarded.Store(true)
		return nil, errors.Join(err, e.removeCreated())
	}
	opened, err := e.location.file.Stat()
	if err != nil || !isAt(path, opened) || checked != nil && !os.SameFile(checked, opened) {
		return nil, errors.Join(cmp.Or(err, errReplaced), closeFile(e.db))
	}
	e.db.AllocSize = growth
	e.location.opened, e.location.pageSize = opened, int64(e.db.Info().PageSize)
	if err := e.start(found.isNew); err != nil {
		return nil, errors.Join(nothingCommitted(err), e.Discard())
	}
	if found.unchecked {
		e.startCheck()
	}
	return e, nil
}

// openForWriting opens the file for bbolt, which locks it, and initializes it if it is empty.
func (e *database) openForWriting(name string, flag int, mode os.FileMode) (f *os.File, err error) {
	if f, err = os.OpenFile(name, flag|os.O_EXCL, mode); err == nil {
		e.created = true
	} else if f, err = os.OpenFile(name, flag, mode); err == nil && lockNow(f) && isUnfinished(f) {
		err = f.Truncate(0)
	}
	e.location.file = f
	return f, err
}

// Discard is Close for a start that failed: it deletes the file if opening has created it and it is
// empty.
func (e *database) Discard() error {
	e.discarded.Store(true)
	return e.Close()
}

func (e *database) closeFile() error {
	if runtime.GOOS == "windows" { // where open files can't be deleted
		return errors.Join(closeFile(e.db), e.removeCreated())
	}
	return errors.Join(e.removeCreated(), closeFile(e.db))
}

// removeCreated deletes the file if it is to be discarded. The lock is held: another process that
// waits for it finds the file gone.
func (e *database) removeCreated() error {
	if !e.created || e.used.Load() || !e.discarded.Load() {
		return nil
	}
	path := e.location.file.Name()
	if e.location.opened != nil && !isAt(path, e.location.opened) {
		return nil
	}
	return os.Remove(path)
}

func (e *database) start(isNew bool) (err error) {
	defer guard(protect(), &err)
	if isNew {
		if err := e.db.Update(writeFormat); err != nil {
			return err
		}
		syncDir(filepath.Dir(e.db.Path()))
	}
	if e.id, err = identity(e.db); err != nil {
		return err
	}
	newest, err := e.newestTx()
	e.history = occ.New(0)
	e.queue.synced.Store(newest)
	e.queue.visible.Store(&visibility{})
	return errors.Join(err, e.location.recordMeta(0))
}

// A content says what checkFile has found in a file.
type content struct {
	isNew     bool // nothing
	unchecked bool // its pages were not checked
}

// checkFile checks the file before anything can change it. It returns the file's identity, or nil
// if it is empty or does not exist. The pages are not checked if skip returns true.
func checkFile(path string, o Options, skip func(*bbolt.Tx) bool) (
	checked fs.FileInfo, found content, err error,
) {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, found, fmt.Errorf("the directory %q does not exist: "+
			"make it, or correct the path", dir)
	} else if err == nil && !info.IsDir() {
		return nil, found, fmt.Errorf("%q is not a directory: correct the path", dir)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, content{isNew: true}, explain(probe.Create(path))
	case err != nil:
		return nil, found, explain(err)
	case !info.Mode().IsRegular():
		return nil, found, errors.New("not a regular file: " +
			"name a file, such as data.db in that directory")
	case info.Size() == 0 || isUnfinishedAt(path): // its creator died before writing to it
		return nil, content{isNew: true}, nil
	}
	options := o.bbolt()
	options.ReadOnly, options.InitialMmapSize = true, 0
	var file *os.File
	options.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	db, err := openFile(path, options)
	if err != nil {
		return nil, found, err
	}
	defer func() { err = errors.Join(err, closeFile(db)) }()
	if checked, err = file.Stat(); err != nil {
		return nil, found, err
	}
	found, err = checkContent(db, file, checked.Size(), skip)
	return checked, found, err
}

// checkContent checks the content of the file.
func checkContent(db *bbolt.DB, file *os.File, size int64, skip func(*bbolt.Tx) bool) (
	found content, err error,
) {
	defer guard(protect(), &err)
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("%w: it has %d bytes of %d", storage.ErrDamaged, size, tx.Size())
		}
		found.unchecked = skip(tx)
		if !found.unchecked {
			// before anything else, because bbolt trusts the pages
			if err := checkPages(file, db, tx, nil); err != nil {
				return err
			}
		}
		found.isNew = tx.Bucket(metaBucket) == nil
		return checkFormat(tx)
	})
	return found, err
}

func openFile(path string, options *bbolt.Options) (db *bbolt.DB, err error) {
	defer guard(protect(), &err)
	db, err = bbolt.Open(path, 0o600, options)
	return db, explain(err)
}

func closeFile(db *bbolt.DB) (err error) {
	defer guard(protect(), &err)
	return db.Close()
}

// explain adds the meaning and the remedy to an error of opening.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("%w, or a second time by this one: stop that one, or name another file",
			storage.ErrInUse)
	case errors.Is(err, probe.ErrNoFiles):
		return fmt.Errorf("%w: name one of a file system that is for data", probe.ErrNoFiles)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errReadOnlyFS):
		return fmt.Errorf("%w: the file, and the directory of a new one, "+
			"must be writable for the user that runs this", err)
	case errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("%w: if the address space is limited (ulimit -v), "+
			"reserve less of it for the file, such as ?mmap_size=256MiB", err)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum),
		errors.Is(err, bbolterrors.ErrVersionMismatch),
		strings.Contains(err.Error(), "file size too small"): // bbolt has no name for that one
		return fmt.Errorf("%w, or not a database: %w", storage.ErrDamaged, err)
	default:
		return err
	}
}

// syncDir makes a new file's name durable, where the system supports that.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
