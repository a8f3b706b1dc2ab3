package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/storage/engine"
)

var (
	// ErrClosed is returned for every use of a closed database.
	ErrClosed = errors.New("the database is closed")

	// ErrInUse is returned by opening a database that another process has open, when the engine
	// allows only one.
	ErrInUse = errors.New("the database is in use by another process")

	// ErrMoved is returned for operations that an [engine.Located] engine refuses because its
	// database is no longer at the place where it was opened.
	ErrMoved = errors.New("the database was moved or replaced while it was open")

	// ErrDamaged is returned when a database's file is not consistent.
	ErrDamaged = errors.New("the database file is damaged")
)

// A ConflictError reports that another transaction changed something that this one had read. It is
// transient: the work can be run again, and [ConflictError.Wait] makes transactions that conflict
// over the same key run one after the other.
type ConflictError struct {
	// DB is the database's name.
	DB string
	// Bucket and Key identify the changed key. They are empty if the engine can't tell.
	Bucket string
	Key    []byte
	// By is the name of the request or job whose change, or reservation of the key, was the reason:
	// see [engine.Changes]. It is empty if it had no listeners or the engine can't tell.
	By string
	// Err is the engine's error if it can't tell the key; nil if the snapshot was so old that the
	// writes since are forgotten.
	Err error

	queue *keyQueue // nil: none
	held  *ticket   // the ticket of the losing attempt, if any
	lost  span      // the keys that it lost over, if known
	about claim     // all keys that it had read and written
}

// Error names the database, the bucket and the beginning of the key. The rest of the key is left
// out, because it may be a visitor's ID.
func (e *ConflictError) Error() string {
	switch {
	case e.Bucket == "" && e.Err != nil && e.DB == "":
		return fmt.Sprintf("conflict: %v", e.Err)
	case e.Bucket == "" && e.Err != nil:
		return fmt.Sprintf("storage: %s: conflict: %v", e.DB, e.Err)
	case e.Bucket == "":
		return fmt.Sprintf("storage: %s: conflict: the transaction is too old to be validated",
			e.DB)
	}
	key, more := e.Key, ""
	if len(key) > 8 {
		key, more = key[:8], "…"
	}
	return fmt.Sprintf("storage: %s: conflict: "+
		"bucket %q, key %q%s was changed by another transaction", e.DB, e.Bucket, key, more)
}

// Transient reports true: another attempt may succeed.
func (e *ConflictError) Transient() bool { return true }

// Unwrap returns Err.
func (e *ConflictError) Unwrap() error { return e.Err }

// Wait queues, first come first served, for the conflicting key, or for the whole range if the key
// lies in one that the losing attempt went through. An attempt that loses while it holds a ticket,
// or over a key that the engine can't name, queues for all keys that this attempt and those before
// it have read and written. The next attempt runs with the context that Wait returns, which carries
// the ticket; release, to be called when that attempt has ended, passes it on.
//
// While an attempt holds a ticket, no other transaction in this process can commit a write to its
// keys, so the attempt can't lose over them again; nor can other processes write to them, if the
// engine is an [engine.KeyLocker] (of a range, that covers only the one key that had changed).
// After waiting too long, Wait returns without a ticket and without an error; a ticket that is held
// too long expires. The error is the context's.
func (e *ConflictError) Wait(ctx context.Context) (
	next context.Context, release func(), err error,
) {
	if e.queue == nil {
		return ctx, func() {}, nil
	}
	t := &ticket{about: e.about}
	if e.Bucket != "" {
		t.claim = claim{[]span{e.lost}, []engine.ReadKey{{Bucket: e.Bucket, Key: string(e.Key)}}}
	}
	if e.held != nil {
		t.about = t.about.and(e.held.about)
		t.claim = t.and(e.held.claim)
	}
	if e.held != nil || e.Bucket == "" {
		t.claim = t.and(t.about)
	}
	if len(t.spans) == 0 {
		return ctx, func() {}, nil
	}
	return e.queue.waitFor(ctx, e.held, t)
}

// A ticketError is a transient error of an attempt that held a ticket but could not use it, for
// example because data it had read was not committed in the end.
type ticketError struct {
	error
	queue *keyQueue
	held  *ticket
}

func (e *ticketError) Unwrap() error { return e.error }

// Wait queues again for the same keys, as [ConflictError.Wait] does.
func (e *ticketError) Wait(ctx context.Context) (next context.Context, release func(), err error) {
	return e.queue.waitFor(ctx, e.held, &ticket{claim: e.held.claim, about: e.held.about})
}
