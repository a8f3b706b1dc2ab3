package bolt

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// bbolt trusts its file: inconsistent content makes it panic, or read outside of its memory map.
// Every call of bbolt is made under guard, so that a damaged file gives an error:
//
//	defer guard(protect(), &err)

// protect turns memory faults of this goroutine (a page that the file no longer has) into panics,
// and returns the previous setting.
func protect() bool { return debug.SetPanicOnFault(true) }

// guard turns a panic into an error that wraps storage.ErrDamaged.
func guard(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", storage.ErrDamaged, p)
	}
}

// begin begins a bbolt transaction. It first checks the meta pages: without them bbolt would panic
// while it holds a lock.
func (e *database) begin(writable bool) (tx *bbolt.Tx, err error) {
	if _, err := e.location.readMeta(); err != nil {
		return nil, e.failOverwritten(err)
	}
	return e.beginGuarded(writable)
}

func (e *database) beginGuarded(writable bool) (tx *bbolt.Tx, err error) {
	defer guard(protect(), &err)
	return e.db.Begin(writable)
}

func (e *database) commitGuarded(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	return e.commitTx(tx)
}

func (e *database) updateGuarded(f func(*bbolt.Tx) error) (err error) {
	defer guard(protect(), &err)
	return e.db.Update(f)
}

// rollback ends tx, also after a panic in its commit.
func rollback(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	_ = tx.Rollback() // only fails if bbolt has rolled back already
	return nil
}

// newestTx returns the id of the newest bbolt transaction.
func (e *database) newestTx() (id uint64, err error) {
	tx, err := e.begin(false)
	if err != nil {
		return 0, err
	}
	return txID(tx), rollback(tx)
}

func txID(tx *bbolt.Tx) uint64 { return uint64(max(tx.ID(), 0)) }
