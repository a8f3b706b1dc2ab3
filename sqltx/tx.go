package sqltx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// A Tx is the part of one transaction in an SQL database. It has the methods of [sql.Tx] that run
// statements, with their rules, so generated and hand-written query code accepts it (sqlc calls the
// interface DBTX). It is committed and rolled back only with the transaction.
//
// It runs one statement at a time, and is safe for concurrent use by multiple goroutines, but they
// may affect each other: see the package comment. Using it after the end of the transaction is an
// error, [transaction.ErrEnded].
type Tx struct {
	db  *DB
	txn *transaction.Txn

	mu     sync.Mutex // guards the rest, and the use of rows; held while a statement runs
	conn   *sql.Conn  // nil until the first statement
	tx     *sql.Tx
	cancel context.CancelFunc // of the context that tx was begun with
	rows   []*relayRows       // open ones: their errors may come late
	// the statement whose rows are open, after which the transaction may be over
	watched    string
	done       []string // statements that may have written, up to maxDone
	failure    error    // of a statement; only a rollback is left
	told       error    // the first transient error, marked as such
	final      bool     // failure names the database, and no other attempt is to be made
	over       bool     // a statement has ended the SQL transaction: failure stays
	savepoints int      // the number of savepoints made; their names are numbered
	base       bool     // savepoint 0, before the first statement, exists
	leaves     bool     // a statement may have left state in the session
	ended      bool
}

// ExecContext runs a statement that returns no rows.
//
// Errors are the driver's, unchanged, with these exceptions:
//   - A statement that would begin or end a transaction is refused.
//   - So is, with MySQL and MariaDB, one before which they commit (CREATE, TRUNCATE and others, see
//     the package comment); the transaction fails then.
//   - If a statement has ended the SQL transaction nonetheless, the error wraps
//     [transaction.ErrPartlyKept], and the transaction fails: the work done before is kept, later
//     statements are refused.
//   - Every statement is refused after one that failed and has taken the SQL transaction with it,
//     until that is rolled back to a savepoint.
//   - The error of a connection that broke is transient.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return run(ctx, tx, query, func() (sql.Result,
		error,
	) {
		return tx.tx.ExecContext(ctx, query, args...)
	})
}

// QueryContext runs a statement that returns rows. Its errors are those of ExecContext. Look at
// [sql.Rows.Err] after the last row, as always: an error there may have cost the SQL transaction,
// and is [transaction.ErrEnded], wrapped, if that has ended before all rows were read.
func (tx *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	// A deadlock may be reported when the rows are read, or closed, and statements after it would
	// be outside of a transaction: so rows are relayed. A Next of a goroutine that outlives the
	// transaction is then refused, and does not interfere with the end.
	rows, err := tx.queryRows(ctx, query,
		func() (*sql.Rows, error) { return tx.tx.QueryContext(ctx, query, args...) })
	if err != nil {
		return nil, err
	}
	return relayedRows(ctx, rows)
}

// QueryRowContext runs a statement that returns at most one row, and reads it. Its errors, which
// are those of ExecContext, are returned by Scan.
func (tx *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	var first *firstRow
	_, err := run(ctx, tx, query, func() (*firstRow, error) {
		rows, err := tx.tx.QueryContext(ctx, query, args...)
		if err == nil {
			first, err = readFirst(rows)
		}
		return first, err
	})
	return relayedRow(ctx, first, err)
}

// PrepareContext prepares a statement for repeated use. It is closed with the transaction; its
// errors are those of ExecContext.
func (tx *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	tx.mu.Lock()
	stmt, err := func() (stmt *sql.Stmt, err error) {
		defer tx.mu.Unlock()
		if _, err := tx.ready(ctx, query); err != nil {
			return nil, err
		}
		if stmt, err = tx.tx.PrepareContext(ctx, query); err != nil {
			return nil, tx.failed(ctx, err)
		}
		return stmt, nil
	}()
	if err != nil {
		return nil, err
	}
	return relayedStmt(ctx, relayStmt{tx, query, stmt})
}

// run runs f, the call of a statement, with the checks that all statements need.
func run[T any](ctx context.Context, tx *Tx, query string,
	statement func() (T, error),
) (result T, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return runLocked(ctx, tx, query, false, statement)
}

// queryRows runs a statement whose rows are left open.
func (tx *Tx) queryRows(
	ctx context.Context, query string, statement func() (*sql.Rows, error),
) (*relayRows, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	rows, err := runLocked(ctx, tx, query, true, statement)
	if err != nil {
		if rows != nil {
			_ = rows.Close()
		}
		return nil, err
	}
	relayed, err := tx.relayRows(rows)
	if err != nil {
		return nil, err
	}
	tx.rows = append(slices.DeleteFunc(tx.rows, func(r *relayRows) bool { return !r.open() }),
		relayed)
	return relayed, nil
}

// runLocked is run; open says that rows may keep the connection busy after the statement returns.
func runLocked[T any](
	ctx context.Context, tx *Tx, query string, open bool, statement func() (T, error),
) (result T, err error) {
	facts, err := tx.ready(ctx, query)
	if err != nil {
		return result, err
	}
	watch := facts.MayEnd && tx.db.dialect.text != sqltext.Generic
	if watch {
		if err := tx.watch(ctx, query); err != nil {
			return result, err
		}
	}
	result, err = observed(ctx, tx, query, statement)
	tx.leaves = tx.leaves || facts.Leaves
	if watch && (!open || err != nil) {
		if over := tx.look(ctx, err != nil); over != nil {
			return result, over
		}
	}
	if err != nil {
		return result, tx.failed(ctx, err)
	}
	if facts.RollsBack {
		tx.failure, tx.final = nil, false
	}
	tx.note(query)
	return result, nil
}

// observed runs a statement, and tells listeners of it.
func observed[T any](
	ctx context.Context, tx *Tx, query string, statement func() (T, error),
) (T, error) {
	seen := tx.txn.Observed()
	if seen == nil {
		return statement()
	}
	start := time.Now()
	result, err := statement()
	seen.StatementEnd(ctx, observe.Statement{
		DB: tx.db.Name(), SQL: query, Err: err, Start: start, Duration: time.Since(start),
	})
	return result, err
}

// ready returns the properties of a statement, if it can be run. The caller holds mu.
func (tx *Tx) ready(ctx context.Context, query string) (facts sqltext.Facts, err error) {
	if err := tx.errEnded(); err != nil {
		return facts, err
	}
	facts = tx.db.dialect.text.Look(query)
	if facts.Ends {
		return facts, tx.db.named(fmt.Errorf("%.40q is refused: "+
			"the SQL transaction begins and ends with that of the request or job; "+
			"return an error, or call Txn.Doom, to have it rolled back", query))
	}
	if err := tx.lookAfterRows(ctx); err != nil {
		return facts, err
	}
	if err := tx.errFailed(ctx); err != nil && (!facts.RollsBack || tx.over) {
		return facts, err
	}
	if facts.Commits {
		tx.failure = transaction.Permanent(tx.db.named(fmt.Errorf("%.60q is refused: "+
			"the server would commit the work of the request or job so far; "+
			"run it outside of the transaction, with the sql.DB", query)))
		tx.final = true
		return facts, tx.failure
	}
	if err := tx.begin(ctx); err != nil {
		return facts, tx.tell(tx.db.named(err))
	}
	return facts, nil
}

// maxDone is the number of statements that are remembered to report which are kept.
const maxDone = 5

// note records a statement that may have written.
func (tx *Tx) note(query string) {
	if len(tx.done) <= maxDone && !sqltext.Reads(query) {
		tx.done = append(tx.done, query)
	}
}

// begin begins the SQL transaction, if it has not begun.
func (tx *Tx) begin(ctx context.Context) (err error) {
	if tx.tx != nil {
		return nil
	}
	// database/sql rolls back when the context of a transaction is done. So ctx, which may be that
	// of one statement or of a client that disconnects, is only used until the transaction has
	// begun.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	attempt, _ := transaction.AttemptFromContext(tx.txn.Context())
	conn, sqlTx, err := tx.db.connect(ctx, life, attempt.Number > 1)
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
	if tx.txn.HasSavepoint() { // for a rollback to it that keeps the reads made since
		if _, err := sqlTx.ExecContext(ctx, savepointSQL(0)); err != nil {
			return tx.failed(ctx, fmt.Errorf("cannot make a savepoint: %w", err))
		}
		tx.base = true
	}
	return nil
}

// connect takes a connection and begins a transaction on it, which lives as long as life. It tries
// again as often as the pool may have idle connections that are broken.
func (db *DB) connect(ctx, life context.Context, again bool) (*sql.Conn, *sql.Tx, error) {
	for idle := db.sql.Stats().Idle; ; idle-- {
		conn, err := db.sql.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := db.beginOn(life, conn, again)
		if err == nil {
			return conn, tx, nil
		}
		_ = conn.Close()
		if idle <= 0 || !errors.Is(err, driver.ErrBadConn) {
			return nil, nil, err
		}
	}
}

// beginOn begins a transaction. SQLite gives the write lock to the first transaction that writes,
// and the others then find out that their reads are out of date. So a retry takes the lock when it
// begins, and only has to wait.
func (db *DB) beginOn(ctx context.Context, conn *sql.Conn, again bool) (*sql.Tx, error) {
	if db.dialect.setBusy {
		if _, err := conn.ExecContext(ctx, busyTimeout); err != nil {
			return nil, err
		}
	}
	tx, err := conn.BeginTx(ctx, db.txOptions())
	if err != nil || !again || db.dialect.text != sqltext.SQLite || db.options.ReadOnly {
		return tx, err
	}
	for _, query := range []string{"ROLLBACK", "BEGIN IMMEDIATE"} { // the driver need not know
		if _, err := tx.ExecContext(ctx, query); err != nil {
			_ = tx.Rollback() // of nothing
			return nil, err
		}
	}
	return tx, nil
}

// failed records a statement's error, if that has cost the SQL transaction, and returns it.
func (tx *Tx) failed(ctx context.Context, err error) error {
	v := tx.db.classify(err)
	if v.local {
		if answer, _ := tx.db.dialect.inTransaction(context.WithoutCancel(ctx),
			tx.tx); answer == inTransaction {
			return err
		}
	}
	if v == (errorClass{}) && lost(err) {
		err = transaction.Transient(err)
	}
	if tx.failure == nil {
		tx.failure = err
	}
	return tx.tell(err)
}

// tell records the first transient error, and returns err unchanged.
func (tx *Tx) tell(err error) error {
	if tx.told == nil && (transaction.IsTransient(err) || tx.db.classify(err).transient) {
		tx.told = transaction.Transient(err)
	}
	return err
}

// sawError is failed, for an error that came when rows were read or closed, or nil. The caller
// holds mu.
func (tx *Tx) sawError(err error) error {
	if err == nil || tx.ended || tx.tx == nil {
		return err
	}
	return tx.failed(tx.txn.Context(), err)
}

// errFailed returns an error if only a rollback is left. The caller holds mu.
func (tx *Tx) errFailed(ctx context.Context) error {
	for _, r := range tx.rows {
		if err := r.rows.Err(); err != nil && tx.failure == nil {
			_ = tx.failed(ctx, err)
		}
	}
	tx.rows = slices.DeleteFunc(tx.rows, func(r *relayRows) bool { return r.rows.Err() != nil })
	if tx.failure == nil || tx.final {
		return tx.failure
	}
	return tx.db.named(fmt.Errorf(
		"an earlier statement has failed, and the transaction with it: %w", tx.failure))
}

// check returns an error if the transaction is over.
func (tx *Tx) check() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.errEnded()
}

// errEnded is check; the caller holds mu. Once the end calls the data managers, this one must not
// change: its answers until then, such as ReadOnly, would be wrong.
func (tx *Tx) errEnded() error {
	if !tx.ended && tx.txn.Usable() {
		return nil
	}
	return tx.db.named(transaction.ErrEnded)
}
