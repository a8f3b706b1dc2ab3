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
var errBusy = errors.New("storage/postgres: the SQL transaction is in use by the CopyFrom or batch that this function is called by")

// An access is the app's way to the connection of its SQL transaction, which it shares with its
// savepoints. The app may keep it, and use it from another goroutine: each use counts whole, before
// the end of the transaction, or is refused.
type access struct {
	engine *database
	conn   *pgx.Conn
	limit  time.Duration // for how long it may be open; 0: for ever
	timer  *time.Timer   // nil without a limit

	mu    sync.Mutex // guards the next six
	over  bool
	late  bool // it was open for longer than limit
	inUse bool
	lent  bool      // in use, and functions of the app are called meanwhile
	free  sync.Cond // inUse has become false, or another may not wait for that any more
	open  func()    // closes the last results; nil: there were none

	released bool // origin has been, for the end

	ended *endedError // the app's own SQL has ended the transaction; written by the goroutine that is in, or after the end
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

// expire cuts the connection of a transaction that is open for too long: the server rolls it back,
// and the app, which may be in the midst of a statement, gets an error.
func (a *access) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	a.late = true
	a.free.Broadcast()
	_ = a.conn.PgConn().Conn().Close() // the only thing that may be done to it from another goroutine
}

func (a *access) expired() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.late
}

// enter begins a use of the connection. It returns transaction.ErrEnded, or why the transaction is
// of no use any more.
func (a *access) enter() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.take(); err != nil {
		return err
	}
	if a.endedBySQL(pgconn.CommandTag{}) { // by a query, whose rows have been read since
		a.inUse = false
		a.free.Broadcast()
		return a.ended
	}
	return nil
}

func (a *access) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse, a.lent = false, false
	a.free.Broadcast()
}

// shut refuses all further uses, waits for the current one, and closes the results that are open.
func (a *access) shut() {
	if end := a.refuse(); end != nil {
		end()
	}
}

// refuse is shut, but for the results, which the function that it returns closes.
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

// endedBySQL asks the connection whether there is a transaction still. The tag is that of the last
// statement, if it is known.
func (a *access) endedBySQL(tag pgconn.CommandTag) bool {
	if pg := a.conn.PgConn(); a.ended == nil && !a.conn.IsClosed() && !pg.IsBusy() && pg.TxStatus() == 'I' {
		a.ended = &endedError{by: tag.String()}
	}
	return a.ended != nil
}

// replaced is for a transaction that is not the one that was begun: origin is not in it.
func (a *access) replaced() *endedError {
	a.ended = &endedError{}
	return a.ended
}

// lostOrigin reports whether a statement that names a savepoint did not find origin.
func lostOrigin(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "3B001" && e.Message == `savepoint "`+origin+`" does not exist` // invalid_savepoint_specification
}

// An endedError says that the app's own SQL has ended its SQL transaction.
type endedError struct {
	by string // COMMIT, ROLLBACK or another, as the server calls it; empty: unknown
}

func (e *endedError) Error() string {
	what := "a statement of the app's own SQL ended the SQL transaction: what was done before it is kept if it was a COMMIT, and gone if it was a ROLLBACK"
	switch e.by {
	case "COMMIT":
		what = "a COMMIT in the app's own SQL ended the SQL transaction: what was done before it is kept"
	case "ROLLBACK":
		what = "a ROLLBACK in the app's own SQL ended the SQL transaction: what was done before it is gone"
	}
	return what + "; all else is not committed, and is not run again: leave the end to the transaction (" + ErrByHand.Error() + ")"
}

// Unwrap makes that the work is not run again, whatever else has failed.
func (e *endedError) Unwrap() []error { return []error{ErrByHand, transaction.ErrPartlyKept} }
