package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/internal/failpoint"
)

// Decision records serve recovery after a crash, and recovery that runs in this process while a
// commit is in flight. No other process has the file. A commit records its decision in the same
// bbolt transaction as its writes: see recordDecisions.

// aborted is the prefix of the record of an aborted transaction. The record of a committed one is
// only the time.
var aborted = []byte("aborted ")

// identity returns the RecorderID of the file, which the first opening creates. It is called under
// guard.
func identity(db *bbolt.DB) (id string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		id = string(tx.Bucket(metaBucket).Get(identityKey))
		return nil
	})
	if err != nil || id != "" {
		return id, err
	}
	id = rand.Text()
	return id, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(identityKey, []byte(id))
	})
}

// RecorderID returns the ID that the file records. Other databases refer to it in their prepared
// work, so from now on the file is not discarded.
func (e *database) RecorderID() string {
	e.used.Store(true)
	return e.id
}

// Decided reports whether a transaction with prepared work elsewhere was committed here.
func (e *database) Decided(_ context.Context, id string) (committed bool, err error) {
	if err := e.acquire(); err != nil {
		return false, err
	}
	defer e.release()
	defer e.location.flushLog()
	tx, err := e.begin(false)
	if err != nil {
		return false, err
	}
	snapshot := txID(tx)
	if committed, err = lookUp(tx, id); err != nil {
		return false, err
	}
	return committed, e.awaitSync(snapshot)
}

// lookUp ends tx: a transaction that waits for a commit must not be open, or bbolt can't enlarge
// its memory map for that commit.
func lookUp(tx *bbolt.Tx, id string) (committed bool, err error) {
	defer guard(protect(), &err)
	defer func() { _ = tx.Rollback() }() // only fails if done already
	_, committed = decided(tx, id)
	return committed, nil
}

// Settle reports whether the transaction was committed here; if not, it records that it is aborted.
// It writes in a bbolt transaction of its own. bbolt has one writer at a time, so no commit comes
// in between, and the state it has seen is on the disk when its own transaction is.
func (e *database) Settle(_ context.Context, id string) (committed bool, err error) {
	if err := e.acquire(); err != nil {
		return false, err
	}
	defer e.release()
	var written uint64
	err = e.writeAlone(func(tx *bbolt.Tx) error {
		written = txID(tx)
		known, yes := decided(tx, id)
		committed = yes
		if known {
			return nil
		}
		return record(tx, id, append(bytes.Clone(aborted), decision(time.Now())...))
	})
	failpoint.Here("bolt: outcome settled")
	if err != nil {
		return false, fmt.Errorf("settling a transaction: %w", err)
	}
	e.queue.markSynced(written)
	return committed, nil
}

// writeAlone runs f in a bbolt transaction of its own, outside of the commit queue.
func (e *database) writeAlone(f func(*bbolt.Tx) error) (err error) {
	defer e.location.flushLog()
	e.check.await()
	e.lockWriter()
	defer e.unlockWriter()
	if err := e.checkWritable(false); err != nil {
		return err
	}
	e.used.Store(true)
	err = e.updateGuarded(func(tx *bbolt.Tx) error {
		if err := e.isOwn(tx); err != nil {
			return e.failOverwritten(err)
		}
		return f(tx)
	})
	if metaErr := e.location.recordMeta(0); metaErr != nil {
		return errors.Join(e.failOverwritten(metaErr), err)
	}
	return err
}

// decided reports whether the file has a record of a transaction, and whether that says that it was
// committed. It is called under guard.
func decided(tx *bbolt.Tx, id string) (known, committed bool) {
	b := tx.Bucket(decidedBucket)
	if b == nil {
		return false, false
	}
	value := b.Get([]byte(id))
	return value != nil, value != nil && !bytes.HasPrefix(value, aborted)
}

func record(tx *bbolt.Tx, id string, value []byte) error {
	b, err := tx.CreateBucketIfNotExists(decidedBucket)
	if err != nil {
		return err
	}
	return b.Put([]byte(id), value)
}

// forgotten are the records that are no longer needed. The next commit deletes them: they are not
// worth one of their own.
type forgotten struct {
	mu  sync.Mutex // guards ids
	ids []string
}

// Forget queues the record of a transaction for deletion.
func (e *database) Forget(id string) {
	e.forgotten.mu.Lock()
	defer e.forgotten.mu.Unlock()
	e.forgotten.ids = append(e.forgotten.ids, id)
}

func (f *forgotten) drain() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.ids
	f.ids = nil
	return ids
}

// unrecord deletes records. If the bbolt transaction fails they stay, which costs a few bytes.
func unrecord(tx *bbolt.Tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	b := tx.Bucket(decidedBucket)
	if b == nil {
		return nil
	}
	for _, id := range ids {
		if err := b.Delete([]byte(id)); err != nil {
			return err
		}
	}
	return nil
}
