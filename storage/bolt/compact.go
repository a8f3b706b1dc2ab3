package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage/engine"
)

var _ engine.Compacter = (*database)(nil)

// compactSuffix is appended to the name of the file to form that of its compacted copy.
const compactSuffix = ".compacting"

// errCompacted is the error of all operations after Compact.
var errCompacted = errors.New("the file was compacted: open it again")

// Compact implements [engine.Compacter]. It writes a copy of the file beside it, checks the copy,
// and puts it in the place of the file. It needs room for the copy. The new file has the same mode,
// and on Unix the same owner if the process may set it. It returns [storage.ErrMoved] if the file
// is not at its path any more, and on Windows, where an open file can't be replaced,
// [errors.ErrUnsupported].
func (e *database) Compact(ctx context.Context, progress func(done, total int64)) (
	before, after int64, err error,
) {
	if runtime.GOOS == "windows" {
		return 0, 0, fmt.Errorf("compact: %w on Windows", errors.ErrUnsupported)
	}
	if err := e.acquire(); err != nil {
		return 0, 0, err
	}
	defer e.release()
	defer e.location.flushLog()
	e.check.await()
	e.lockWriter()
	defer e.unlockWriter()
	if err := e.checkWritable(true); err != nil {
		return 0, 0, err
	}
	path := e.db.Path()
	if e.created && !e.used.Load() { // it is deleted at the end
		old, err := os.Stat(path)
		if err != nil {
			return 0, 0, err
		}
		return old.Size(), old.Size(), nil
	}
	copied := path + compactSuffix
	defer func() {
		if err != nil {
			_ = os.Remove(copied) // may not exist
		}
	}()
	if err := e.copyTo(ctx, copied, progress); err != nil {
		return 0, 0, err
	}
	old, oldErr := os.Stat(path)
	compacted, newErr := os.Stat(copied)
	if err := errors.Join(oldErr, newErr); err != nil {
		return 0, 0, err
	}
	if err := errors.Join(likeOld(copied, old), os.Rename(copied, path)); err != nil {
		return 0, 0, err
	}
	e.broken.Store(&errCompacted)
	syncDir(filepath.Dir(path))
	return old.Size(), compacted.Size(), nil
}

// copyTo writes all that is in the file to a new file, and checks it.
func (e *database) copyTo(ctx context.Context, path string, progress func(done, total int64)) (
	err error,
) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // of a process that died
	}
	options := Options{}.bbolt() // not mapped in advance, as it is closed soon
	options.PageSize = e.db.Info().PageSize
	options.NoSync = true
	var file *os.File
	options.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(name, flag|os.O_EXCL, mode)
		return file, err
	}
	to, err := openFile(path, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFile(to)) }()
	to.AllocSize = growth
	from, err := e.begin(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rollback(from)) }()
	c := compaction{ctx: ctx, from: from, to: to, progress: progress}
	if err := c.run(); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return checkCopy(to, file)
}

func checkCopy(db *bbolt.DB, file *os.File) (err error) {
	defer guard(protect(), &err)
	return db.View(func(tx *bbolt.Tx) error { return checkPages(file, db, tx, nil) })
}

// A compaction copies all buckets of a transaction to another file.
type compaction struct {
	ctx      context.Context
	from     *bbolt.Tx
	to       *bbolt.DB
	progress func(done, total int64)
	done     int64 // bytes of keys and values
}

// portion is how many bytes of keys and values are copied in one bbolt transaction, which has them
// in memory.
const portion = 8 << 20

func (c *compaction) run() (err error) {
	defer guard(protect(), &err)
	err = c.from.ForEach(func(name []byte, from *bbolt.Bucket) error {
		cursor := from.Cursor()
		key, value := cursor.First()
		for first := true; first || key != nil; first = false {
			err := c.to.Update(func(tx *bbolt.Tx) error {
				to, err := tx.CreateBucketIfNotExists(name)
				if err != nil {
					return err
				}
				if err := to.SetSequence(from.Sequence()); err != nil {
					return err
				}
				to.FillPercent = 0.9 // the keys come in order
				for end := c.done + portion; key != nil && c.done < end; key, value = cursor.Next() {
					if err := to.Put(key, value); err != nil {
						return err
					}
					c.done += int64(len(key) + len(value))
				}
				return nil
			})
			if err == nil && c.ctx.Err() != nil {
				err = context.Cause(c.ctx)
			}
			if err != nil {
				return err
			}
			c.progress(min(c.done, c.from.Size()), c.from.Size())
		}
		return nil
	})
	if err != nil {
		return err
	}
	// as Close does in a large file
	return c.to.Update(func(tx *bbolt.Tx) error {
		c.to.NoFreelistSync = false
		return tx.Bucket(metaBucket).Put(closedKey, encodeTx(txID(tx)))
	})
}
