package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// Opening reads the whole tree twice: to check the pages, and to find the free ones. For a large
// file that takes long. So Close saves the list of free pages in a large file, and the next opening
// of a file that was closed finds the list there. It checks the pages while the file is read
// already; the first commit waits for the end of the check, so that a damaged file is not changed.

// large is the size in bytes from which a file is large.
const large = 8 << 20

// saveFreePages writes the list of free pages into a large file that has been written to. An error
// is ignored: the next opening will read the tree.
func (e *database) saveFreePages() {
	e.location.mu.Lock()
	isLarge := e.location.sizeInUse() >= large
	e.location.mu.Unlock()
	if !isLarge || !e.used.Load() || e.discarded.Load() {
		return
	}
	_ = e.writeAlone(func(tx *bbolt.Tx) error {
		e.db.NoFreelistSync = false // for this transaction, the last one
		return tx.Bucket(metaBucket).Put(closedKey, encodeTx(txID(tx)))
	})
}

// isClosed reports whether the transaction that tx shows is the one with which Close saved the list
// of free pages.
func isClosed(tx *bbolt.Tx) bool {
	meta := tx.Bucket(metaBucket)
	return meta != nil && string(meta.Get(closedKey)) == string(encodeTx(txID(tx))) &&
		meta.Get(identityKey) != nil // else opening would write one
}

func encodeTx(id uint64) []byte { return strconv.AppendUint(nil, id, 10) }

// The functions for checkFile.
func isLargeAndClosed(tx *bbolt.Tx) bool { return tx.Size() >= large && isClosed(tx) }
func skipNone(*bbolt.Tx) bool            { return false }

// A laterCheck is the check of the pages of a file that is open already.
type laterCheck struct {
	stop atomic.Bool
	done chan struct{} // closed at the end; nil: the pages were checked before
}

// startCheck starts the check of the pages. If they are damaged, nothing is read or written any
// more.
func (e *database) startCheck() {
	e.check.done = make(chan struct{})
	go func() {
		defer e.location.flushLog()
		defer close(e.check.done)
		if err := e.checkNow(); err != nil && !errors.Is(err, errStopped) {
			e.failDamaged(err)
		}
	}()
}

func (e *database) checkNow() (err error) {
	tx, err := e.begin(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rollback(tx)) }()
	defer guard(protect(), &err)
	return checkPages(e.location.file, e.db, tx, &e.check.stop)
}

// await waits for the end of the check. A writer calls it before it takes the writer's lock.
func (c *laterCheck) await() {
	if c.done != nil {
		<-c.done
	}
}

// end stops the check.
func (c *laterCheck) end() {
	c.stop.Store(true)
	c.await()
}

// failDamaged makes all operations fail from now on.
func (e *database) failDamaged(err error) {
	damaged := remedy(err)
	if e.broken.CompareAndSwap(nil, &damaged) {
		e.location.queueLog(func(logger *slog.Logger) {
			logger.Error("the database can't be used any more", slog.Any("error",
				fmt.Errorf("%s: %w", e.location.file.Name(), damaged)))
		})
	}
}
