package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/transaction"
)

// errBusy is the error of a use of the connection within another one.
var errBusy = errors.New("storage/postgres: the SQL transaction is in use by the CopyFrom or " +
	"batch that this function is called by")

// An access controls the app's use of the connection of its SQL transaction; the savepoints in it
// share the access. The app may keep it, and use it from another goroutine: each use either takes
// place whole, before the end of the transaction, or is refused.
type access struct {
	engine *database
	conn   *pgx.Conn
	limit  time.Duration // how long the SQL transaction may be open; 0: no limit
	timer  *time.Timer   // nil without a limit

	mu         sync.Mutex // guards the next six
	over       bool
	late       bool // the SQL transaction was open for longer than limit
	inUse      bool
	inCallback bool      // in use, by a call that calls functions of the app
	free       sync.Cond // inUse has become false, or waiting for that is over
	open       func()    // closes the last results; nil: there were none

	released bool // the savepoint origin was released, for the end

	// the app's own SQL has ended the transaction; written by the current user of the connection,
	// or after the end
	ended *endedError
}

func newAccess(ctx context.Context, e *database, conn *pgx.Conn) *access {
	a := &access{engine: e, conn: conn, limit: e.options.appSQLTimeout}
	a.free.L = &a.mu
	purpose := ""
	if t, ok := transaction.FromContext(ctx); ok {
		purpose = t.Description()
	}
	e.appSQL.Store(conn.PgConn().PID(), purpose)
	if a.limit > 0 {
		a.timer = time.AfterFunc(a.limit, a.expire)
	}
	return a
}

// expire closes the connection of a transaction that is open for too long: the server rolls it
// back, and the app, which may be running a statement, gets an error.
func (a *access) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	a.late = true
	a.free.Broadcast()
	_ = a.conn.PgConn().Conn().Close() // safe from another goroutine
}

func (a *access) expired() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.late
}

// acquire begins a use of the connection; release ends it. The error is transaction.ErrEnded, or
// the reason why the transaction can't be used any more.
func (a *access) acquire() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.acquireLocked(); err != nil {
		return err
	}
	if a.endedBySQL(pgconn.CommandTag{}) { // by a query, whose rows have been read since
		a.inUse = false
		a.free.Broadcast()
		return a.ended
	}
	return nil
}

func (a *access) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse, a.inCallback = false, false
	a.free.Broadcast()
}

// shut refuses all further uses, waits for the current one, and closes the results that are open.
func (a *access) shut() {
	if end := a.refuse(); end != nil {
		end()
	}
}

// refuse is shut, except that the function that it returns closes the results.
func (a *access) refuse() (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.free.Broadcast()
	for a.inUse {
		a.free.Wait()
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.engine.appSQL.Delete(a.conn.PgConn().PID())
	end, a.open = a.open, nil
	return end
}

// endedBySQL reports whether a statement of the app has ended the transaction. The tag is that of
// the last statement, if it is known.
func (a *access) endedBySQL(tag pgconn.CommandTag) bool {
	if pg := a.conn.PgConn(); a.ended == nil && !a.conn.IsClosed() && !pg.IsBusy() &&
		pg.TxStatus() == 'I' {
		a.ended = &endedError{by: tag.String()}
	}
	return a.ended != nil
}

// endReplaced records that the app's own SQL has ended the transaction and begun another one, in
// which the savepoint origin does not exist.
func (a *access) endReplaced() *endedError {
	a.ended = &endedError{}
	return a.ended
}

// originMissing reports whether err says that the savepoint origin does not exist.
func originMissing(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	// invalid_savepoint_specification
	return ok && e.Code == "3B001" && e.Message == `savepoint "`+origin+`" does not exist`
}

// An endedError says that the app's own SQL has ended its SQL transaction.
type endedError struct {
	by string // COMMIT, ROLLBACK or another, as the server calls it; empty: unknown
}

func (e *endedError) Error() string {
	text := "a statement of the app's own SQL ended the SQL transaction: " +
		"what was done before it is kept if it was a COMMIT, and gone if it was a ROLLBACK"
	switch e.by {
	case "COMMIT":
		text = "a COMMIT in the app's own SQL ended the SQL transaction: " +
			"what was done before it is kept"
	case "ROLLBACK":
		text = "a ROLLBACK in the app's own SQL ended the SQL transaction: " +
			"what was done before it is gone"
	}
	return text + "; all else is not committed, and is not run again: " +
		"leave the end to the transaction (" + ErrByHand.Error() + ")"
}

// Unwrap includes transaction.ErrPartlyKept, so that the work is never run again.
func (e *endedError) Unwrap() []error { return []error{ErrByHand, transaction.ErrPartlyKept} }
