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
	"github.com/pasteline/pasteline/transaction"
)

// Decision records serve recovery after a crash, and recovery that runs in this process while a
// commit is in flight. No other process has the file.

// aborted is the prefix of the record of an aborted transaction. The record of a committed one is
// only the time.
var aborted = []byte("aborted ")

// errGivenUp is the error of a commit that decides over prepared work that recovery has already
// aborted. A retry is a new transaction.
var errGivenUp = transaction.Transient(errors.New("recovery has aborted the transaction, " +
	"which it took for lost: the prepared work of others is gone"))

// identity returns the DeciderID of the file, which the first opening creates. It is called under
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
		return tx.Bucket(metaBucket).Put(identityKey,
			[]byte(id))
	})
}

// DeciderID returns the ID that the file records. Other databases refer to it in their prepared
// work, so from now on the file is not discarded.
func (e *database) DeciderID() string {
	e.used.Store(true)
	return e.id
}

// Decided reports whether a transaction with prepared work elsewhere was committed here.
func (e *database) Decided(_ context.Context, id string) (committed bool, err error) {
	if err := e.enter(); err != nil {
		return false, err
	}
	defer e.views.Done()
	defer e.place.tell()
	tx, err := e.begin(false)
	if err != nil {
		return false, err
	}
	seq := uint64(tx.ID()) //nolint:gosec // ids are not negative
	if committed, err = lookUp(tx, id); err != nil {
		return false, err
	}
	return committed, e.awaitSync(seq)
}

// lookUp ends tx: a transaction that waits for a commit must not be open, or bbolt can't enlarge
// its memory map for that commit.
func lookUp(tx *bbolt.Tx, id string) (committed bool, err error) {
	defer guard(protect(), &err)
	defer func() { _ = tx.Rollback() }() // only fails if done already
	_, committed = decided(tx, id)
	return committed, nil
}

// Settle writes in a bbolt transaction of its own. There is one writer at a time, so no commit
// comes in between, and the state it has seen is on the disk when its own transaction is.
func (e *database) Settle(_ context.Context, id string) (committed bool, err error) {
	if err := e.enter(); err != nil {
		return false, err
	}
	defer e.views.Done()
	var seq uint64
	err = e.writeAlone(func(tx *bbolt.Tx) error {
		seq = uint64(tx.ID()) //nolint:gosec // ids are not negative
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
	e.queue.isSynced(seq)
	return committed, nil
}

// decided is called under guard.
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

func (f *forgotten) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.ids
	f.ids = nil
	return ids
}

// unrecord deletes records. If the bbolt transaction fails they stay, which costs a few bytes.
func unrecord(tx *bbolt.Tx, ids []string) error {
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
