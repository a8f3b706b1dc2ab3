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

	"github.com/pasteline/pasteline/internal/crashpoint"
	"github.com/pasteline/pasteline/transaction"
)

// Only one process has the file, so a record is only for after a crash, and for whoever recovers while this one runs: it may ask about
// a transaction that is just being committed.

// aborted begins the record of a transaction that was given up; that of one that was committed is only the time.
var aborted = []byte("aborted ")

// errGivenUp is the error of a commit that would decide over others, too late. Another attempt is another transaction.
var errGivenUp = transaction.Transient(errors.New("recovery took the transaction for lost and aborted it: what others had prepared is gone"))

// identity returns the DeciderID of the file, which is made with the first opening. It is called under guard.
func identity(db *bbolt.DB) (id string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		id = string(tx.Bucket(metaBucket).Get(identityKey))
		return nil
	})
	if err != nil || id != "" {
		return id, err
	}
	id = rand.Text()
	return id, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(identityKey, []byte(id)) })
}

// DeciderID is kept in the file. Others keep it, too, so the file must stay.
func (e *database) DeciderID() string {
	e.used.Store(true)
	return e.id
}

// Decided reports whether a transaction that had others prepared was committed here.
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

// lookUp ends tx: who waits for a commit must have none open, or bbolt can't enlarge its memory map for that.
func lookUp(tx *bbolt.Tx, id string) (committed bool, err error) {
	defer guard(protect(), &err)
	defer func() { _ = tx.Rollback() }() // only fails if done already
	_, committed = decided(tx, id)
	return committed, nil
}

// Settle writes in a transaction of its own: there is one writer at a time, so no commit can come between, and what it has seen is on the
// disk when its own transaction is.
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
	crashpoint.Here("bolt: outcome settled")
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

// forgotten are the records that nobody needs any more. They go with the next commit: alone they are not worth one.
type forgotten struct {
	mu  sync.Mutex // guards ids
	ids []string
}

// Forget is for transactions of which everything is finished.
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

// unrecord deletes records. If the transaction fails they stay, which costs a few bytes.
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
