package sqltx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/transaction"
)

// A Tx is the part that one transaction has in an SQL database. It has the methods of [sql.Tx] that run statements, with its rules: so it
// is what generated and hand-written query code takes (sqlc calls it DBTX). It is committed and rolled back with the transaction, and can't
// be by itself.
//
// It is for one goroutine at a time. To use it after the end of the transaction is an error, [transaction.ErrEnded].
type Tx struct {
	db  *DB
	txn *transaction.Txn

	mu         sync.Mutex // guards the rest; held while a statement runs
	conn       *sql.Conn  // nil until the first statement
	tx         *sql.Tx
	cancel     context.CancelFunc // of the context that tx was begun with
	rows       *sql.Rows          // those that were asked for last: their error may come late
	failure    error              // of a statement; only a rollback is left
	told       error              // the first transient error, marked as such
	savepoints int                // how many have been made; the names of them are numbered
	base       bool               // there is number 0, from before the first statement
	ended      bool
}

// ExecContext runs a statement that returns no rows.
//
// Errors are the driver's, as they are, but for three: a statement that would begin or end a transaction is refused; so is every
// statement after one that failed and has taken the SQL transaction with it, until that is rolled back to a savepoint; and the error of a
// connection that broke is transient.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return run(ctx, tx, query, func() (sql.Result, error) { return tx.tx.ExecContext(ctx, query, args...) })
}

// QueryContext runs a statement that returns rows. Its errors are those of ExecContext. Look at [sql.Rows.Err] after the last row, as always: an
// error there may have cost the SQL transaction.
func (tx *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return run(ctx, tx, query, func() (*sql.Rows, error) {
		rows, err := tx.tx.QueryContext(ctx, query, args...)
		if err == nil {
			tx.rows = rows
		}
		return rows, err
	})
}

// QueryRowContext runs a statement that returns one row at most. Its errors, which are those of ExecContext, are returned by Scan.
func (tx *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	var row *sql.Row
	_, err := run(ctx, tx, query, func() (*sql.Row, error) {
		row = tx.tx.QueryRowContext(ctx, query, args...)
		return row, row.Err()
	})
	if row == nil || transaction.IsTransient(err) && !transaction.IsTransient(row.Err()) {
		return failedRow(ctx, err)
	}
	return row
}

// PrepareContext makes a statement that can be run more than once. It is closed with the transaction.
//
// What it does when it is run is not watched: return every error of it. With a database that goes on after an error, as MySQL and SQLite do, an
// error that is ignored could be that of a rolled back transaction, and what is written afterwards be in none.
func (tx *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return run(ctx, tx, query, func() (*sql.Stmt, error) { return tx.tx.PrepareContext(ctx, query) })
}

// run does what all statements have in common.
func run[T any](ctx context.Context, tx *Tx, query string, statement func() (T, error)) (result T, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return result, err
	}
	if sqltext.EndsTransaction(query) {
		return result, tx.db.named(fmt.Errorf("%.40q is refused: the SQL transaction begins and ends with that of the request or job; "+
			"return an error, or call Txn.Doom, to have it rolled back", query))
	}
	rollsBack := sqltext.RollsBackTo(query)
	if err := tx.errFailed(ctx); err != nil && !rollsBack {
		return result, err
	}
	if err := tx.begin(ctx); err != nil {
		return result, tx.tell(tx.db.named(err))
	}
	result, err = statement()
	if err != nil {
		return result, tx.failed(ctx, err)
	}
	if rollsBack {
		tx.failure = nil
	}
	return result, nil
}

// begin begins the SQL transaction, if that has not happened.
func (tx *Tx) begin(ctx context.Context) (err error) {
	if tx.tx != nil {
		return nil
	}
	// database/sql rolls back when the context of a transaction is done. So ctx, which may be that of one statement or of a client that
	// goes away, counts only until it has begun.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	conn, sqlTx, err := tx.db.connect(ctx, life)
	if err == nil && !stop() {
		_ = sqlTx.Rollback() // it has been already, or is just being
		_ = conn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		cancel()
		if ctx.Err() == nil && lost(err) {
			err = transaction.Transient(err)
		}
		return fmt.Errorf("cannot begin: %w", err)
	}
	tx.conn, tx.tx, tx.cancel = conn, sqlTx, cancel
	if tx.txn.HasSavepoint() { // to be able to go back there, and yet not to forget what was read since
		if _, err := sqlTx.ExecContext(ctx, savepointSQL(0)); err != nil {
			return tx.failed(ctx, fmt.Errorf("cannot make a savepoint: %w", err))
		}
		tx.base = true
	}
	return nil
}

// connect takes a connection and begins a transaction on it, which lives as long as life. A pool may hold as many connections that have broken
// as it has idle ones.
func (db *DB) connect(ctx, life context.Context) (*sql.Conn, *sql.Tx, error) {
	for idle := db.sql.Stats().Idle; ; idle-- {
		conn, err := db.sql.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := conn.BeginTx(life, db.txOptions())
		if err == nil {
			return conn, tx, nil
		}
		_ = conn.Close()
		if idle <= 0 || !errors.Is(err, driver.ErrBadConn) {
			return nil, nil, err
		}
	}
}

// failed remembers a statement's error, if it has cost the SQL transaction, and returns it.
func (tx *Tx) failed(ctx context.Context, err error) error {
	v := tx.db.judge(err)
	if v.local && (!v.sqlite || tx.sqliteGoesOn(ctx)) {
		return err
	}
	if v == (verdict{}) && lost(err) {
		err = transaction.Transient(err)
	}
	if tx.failure == nil {
		tx.failure = err
	}
	return tx.tell(err)
}

// tell remembers the first error that is worth another attempt, and returns err as it is.
func (tx *Tx) tell(err error) error {
	if tx.told == nil && (transaction.IsTransient(err) || tx.db.judge(err).transient) {
		tx.told = transaction.Transient(err)
	}
	return err
}

// sqliteGoesOn reports whether SQLite is still in the transaction. An error may have ended that (INSERT OR ROLLBACK, RAISE(ROLLBACK), a full
// disk), and what is written from then on would be in none. BEGIN fails in a transaction, and does no harm there.
func (tx *Tx) sqliteGoesOn(ctx context.Context) bool {
	ctx = context.WithoutCancel(ctx) // it is local, and takes no time
	if _, err := tx.tx.ExecContext(ctx, "BEGIN"); err != nil {
		return judge(err).local
	}
	_, _ = tx.tx.ExecContext(ctx, "ROLLBACK") // of nothing
	return false
}

// errFailed returns an error if only a rollback is left. The caller holds mu.
func (tx *Tx) errFailed(ctx context.Context) error {
	if tx.failure == nil && tx.rows != nil {
		if err := tx.rows.Err(); err != nil {
			_ = tx.failed(ctx, err)
		}
		if tx.failure != nil {
			tx.rows = nil
		}
	}
	if tx.failure == nil {
		return nil
	}
	return tx.db.named(fmt.Errorf("an earlier statement has failed, and the transaction with it: %w", tx.failure))
}

// check returns an error if the transaction is over.
func (tx *Tx) check() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.errEnded()
}

// errEnded is check; the caller holds mu.
func (tx *Tx) errEnded() error {
	if !tx.ended {
		return nil
	}
	return tx.db.named(transaction.ErrEnded)
}

// failedRow returns a row whose Scan returns err. database/sql has no other way to make one than a database that can't be connected to.
func failedRow(ctx context.Context, err error) *sql.Row {
	db := sql.OpenDB(failure{err})
	defer func() { _ = db.Close() }() // there is nothing open
	return db.QueryRowContext(context.WithoutCancel(ctx), "")
}

// failure is a connector that fails.
type failure struct{ err error }

func (f failure) Connect(context.Context) (driver.Conn, error) { return nil, f.err }
func (f failure) Driver() driver.Driver                        { return nil }
