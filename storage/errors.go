package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/storage/engine"
)

var (
	// ErrClosed is returned for every use of a database after it was closed.
	ErrClosed = errors.New("the database is closed")

	// ErrInUse is returned by opening a database that another process has open, when the engine allows only one.
	ErrInUse = errors.New("the database is in use by another process")

	// ErrMoved is returned for what a [engine.Located] engine refuses, because its database is not any more where it was opened.
	ErrMoved = errors.New("the database was moved or replaced while it was open")

	// ErrDamaged is returned when a database's file does not make sense.
	ErrDamaged = errors.New("the database file is damaged")
)

// A ConflictError says that another transaction changed what this one had read. It is transient: the work can be run again,
// and [ConflictError.Wait] lets those who conflicted over one key go one after the other.
type ConflictError struct {
	// DB is the database's name.
	DB string
	// Bucket and Key say what had changed. They are empty when the engine can't tell.
	Bucket string
	Key    []byte
	// Err is what the engine has instead; nil if the snapshot was so old that it had forgotten which keys were written since.
	Err error

	turns *turns // nil: nothing to wait for
	held  *turn  // what the losing attempt had the turn on, if anything
	lost  span   // what it lost over, if that is known
	about claim  // all that it had read and written
}

// Error names the database, the bucket and the beginning of the key. The rest of the key is left out: it may name a visitor.
func (e *ConflictError) Error() string {
	switch {
	case e.Bucket == "" && e.Err != nil && e.DB == "":
		return fmt.Sprintf("conflict: %v", e.Err)
	case e.Bucket == "" && e.Err != nil:
		return fmt.Sprintf("storage: %s: conflict: %v", e.DB, e.Err)
	case e.Bucket == "":
		return fmt.Sprintf("storage: %s: conflict: the transaction is too old to be validated", e.DB)
	}
	key, more := e.Key, ""
	if len(key) > 8 {
		key, more = key[:8], "…"
	}
	return fmt.Sprintf("storage: %s: conflict: bucket %q, key %q%s was changed by another transaction", e.DB, e.Bucket, key, more)
}

// Transient reports true: another attempt may succeed.
func (e *ConflictError) Transient() bool { return true }

// Unwrap returns Err.
func (e *ConflictError) Unwrap() error { return e.Err }

// Wait queues, first come first served, for the turn on what was conflicted over: the key, or the whole range if the key lies in
// one that the losing attempt went through. An attempt that loses though it had a turn, or over a key that the engine can't
// name, queues for all that this attempt and those before it have read and written. The next attempt runs with the context
// that Wait returns, which carries the turn; release, to be called when that attempt has ended, passes the turn on.
//
// While an attempt has the turn, no other transaction in this process can commit a write to those keys, so it can't lose a race
// over them again; nor can other processes write to the keys, if the engine sees to it (to a range only in the one key that had
// changed). A wait that lasts too long ends without a turn and without an error; a turn that is held too long lapses.
// The error is the context's.
func (e *ConflictError) Wait(ctx context.Context) (next context.Context, release func(), err error) {
	if e.turns == nil {
		return ctx, func() {}, nil
	}
	t := &turn{about: e.about}
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
	return e.turns.waitFor(ctx, e.held, t)
}

// A turnError is a transient error of an attempt that had the turn, but could not use it: what it had read was not kept, say.
type turnError struct {
	error
	turns *turns
	held  *turn
}

func (e *turnError) Unwrap() error { return e.error }

// Wait queues anew for the same, as [ConflictError.Wait].
func (e *turnError) Wait(ctx context.Context) (next context.Context, release func(), err error) {
	return e.turns.waitFor(ctx, e.held, &turn{claim: e.held.claim, about: e.held.about})
}
