package sqltx

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// dataManager is the data manager of a Tx.
type dataManager Tx

func (m *dataManager) SortKey() string { return "sql:" + m.db.options.Name }

// ReadOnly can't be derived from the statements: a SELECT may call a function that writes.
func (m *dataManager) ReadOnly() bool {
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.tx == nil || tx.db.options.ReadOnly
}

func (m *dataManager) RecorderID() string { return m.db.id }

// Forget queues the record for deletion. A failure is left to the next time.
func (m *dataManager) Forget(ctx context.Context, t resource.Txn) {
	ctx, cancel := context.WithTimeout(ctx, m.db.options.Timeout)
	defer cancel()
	_ = m.db.forget(ctx, t.ID())
}

// IsTransient classifies driver errors, including errors caused by this transaction's broken
// connection.
func (m *dataManager) IsTransient(err error) bool {
	if m.db.classify(err).transient {
		return true
	}
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return !tx.final && tx.errFailed(tx.txn.Context()) != nil &&
		transaction.IsTransient(tx.failure) && errors.Is(err, errors.Unwrap(tx.failure))
}

// Conflict returns the transient error of a statement, or of the beginning, even if the app has
// ignored it.
func (m *dataManager) Conflict(ctx context.Context) error {
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.ended {
		_ = tx.errFailed(ctx) // the app may not have looked at the error of the last rows
	}
	if tx.final {
		return nil // no other attempt
	}
	return tx.told
}

// Commit ends the SQL transaction. If the answer is lost and the commit left a record, it finds out
// the outcome.
func (m *dataManager) Commit(ctx context.Context, t resource.Txn) error {
	tx, db := (*Tx)(m), m.db
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.ended = true
	if tx.tx == nil {
		return nil
	}
	ctx, stop := tx.limit(ctx)
	defer stop()
	if err := tx.settle(ctx); err != nil {
		return err // Abort follows, and rolls back
	}
	decides := db.id != "" && (t.Prepared() || db.options.Decisions == DecideAlways)
	if decides {
		if _, err := tx.tx.ExecContext(ctx,
			db.dialect.record(db.insert(t.ID(), committed))); err != nil {
			return tx.undecided(ctx, t.ID(), err)
		}
		failpoint.Here("sqltx: decision recorded")
	}
	err := tx.tx.Commit()
	if err == nil {
		failpoint.Here("sqltx: committed")
		tx.release(false)
		if decides && !t.Prepared() { // no other database depends on the record
			_ = db.forget(ctx, t.ID()) // next time, then
		}
		return nil
	}
	tx.afterFailedCommit(ctx, err)
	switch v := db.classify(err); {
	case v.answered:
		return db.named(fmt.Errorf("not committed: %w", err))
	case db.options.ReadOnly:
		return db.named(fmt.Errorf("not committed: %w", transaction.Transient(err)))
	case !decides:
		return db.named(fmt.Errorf("%w: %w", transaction.ErrInDoubt, err))
	}
	stop()
	return db.findOut(ctx, t.ID(), err)
}

// undecided returns the error of a commit whose record could not be made.
func (tx *Tx) undecided(ctx context.Context, id string, err error) error {
	db := tx.db
	tx.rollback()
	if v := db.classify(err); !v.transient && v.answered {
		if outcome, outcomeErr := db.outcome(ctx, id); outcomeErr == nil && outcome == aborted {
			return db.named(errGivenUp)
		}
	} else if lost(err) {
		err = transaction.Transient(err)
	}
	return db.named(fmt.Errorf("not committed, the decision could not be recorded: %w", err))
}

// findOut returns the outcome of a commit that failed with err, and that has left a record if it
// happened. The answer is final as soon as the database can be reached: if there is no record yet,
// Settle rules one out.
func (db *DB) findOut(ctx context.Context, id string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.options.Timeout)
	defer cancel()
	switch yes, settleErr := db.Settle(ctx, id); {
	case settleErr != nil:
		return db.named(fmt.Errorf("%w: %w; looking for its record: %w", transaction.ErrInDoubt,
			err, settleErr))
	case yes:
		return nil
	default:
		return db.named(fmt.Errorf("not committed: %w", transaction.Transient(err)))
	}
}

// Abort rolls back. If the transaction goes on, it rolls back to before the first statement; reads
// stay part of it, because they may be the reason for the rollback.
func (m *dataManager) Abort(ctx context.Context, t resource.Txn) error {
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if t.Usable() {
		if err := tx.rollbackTo(ctx, 0); err != nil {
			return err
		}
		return t.Join(m)
	}
	tx.ended = true
	if tx.tx != nil {
		if !tx.final {
			_ = tx.settle(ctx)
		}
		tx.rollback()
	}
	if tx.final { // rules out another attempt, whatever the reason for the abort is
		return tx.failure
	}
	return nil
}

// limit returns ctx with the time limit of an end. For COMMIT and ROLLBACK, drivers use the context
// that the transaction was begun with, so that ends then, too.
func (tx *Tx) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, tx.db.options.Timeout)
	timer := time.AfterFunc(tx.db.options.Timeout, tx.cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// rollback rolls back and releases the connection. It can't fail: a connection on which ROLLBACK
// fails is closed, and then the database rolls back.
func (tx *Tx) rollback() {
	_, stop := tx.limit(context.Background())
	defer stop()
	err := tx.tx.Rollback()
	tx.release(err != nil && !tx.db.classify(err).local)
}

// afterFailedCommit releases the connection, after making sure that it is in no transaction: some
// databases stay in it (SQLite does, when it was busy or a deferred constraint failed), which
// database/sql does not know.
func (tx *Tx) afterFailedCommit(ctx context.Context, err error) {
	if !tx.db.classify(err).answered {
		tx.release(true)
		return
	}
	_, err = tx.conn.ExecContext(ctx, "ROLLBACK")
	tx.release(err != nil && !tx.db.classify(err).local) // SQLite says that there is no transaction
}

// release returns the connection to the pool, or closes it if the session may hold state: settings
// of the app would affect the next request. Only an SQLite database in memory ends with its
// connection.
func (tx *Tx) release(discard bool) {
	if discard || tx.leaves && !tx.db.dialect.inMemory {
		// the way to tell database/sql
		_ = tx.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = tx.conn.Close() // it may have gone already, with its last error
	tx.cancel()
	tx.conn, tx.tx, tx.rows, tx.done = nil, nil, nil, nil
}

// Savepoint makes a savepoint in the SQL transaction, if that has begun.
func (m *dataManager) Savepoint() (resource.Savepoint, error) {
	tx := (*Tx)(m)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return nil, err
	}
	ctx := tx.txn.Context()
	if err := errors.Join(tx.lookAfterRows(ctx), tx.errFailed(ctx)); err != nil {
		return nil, err
	}
	if tx.tx == nil {
		return savepoint{tx, 0}, nil
	}
	tx.savepoints++
	if err := tx.own(ctx, savepointSQL(tx.savepoints)); err != nil {
		return nil, tx.db.named(fmt.Errorf("the database makes no savepoint: %w", err))
	}
	return savepoint{tx, tx.savepoints}, nil
}

type savepoint struct {
	tx     *Tx
	number int
}

func savepointSQL(number int) string { return fmt.Sprintf("SAVEPOINT pasteline_%d", number) }

// Rollback rolls back to the savepoint, which stays usable in all databases.
func (s savepoint) Rollback() error {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if err := s.tx.errEnded(); err != nil {
		return err
	}
	return s.tx.rollbackTo(s.tx.txn.Context(), s.number)
}

// rollbackTo also repairs the transaction after a failed statement: if the savepoint still exists,
// so does the transaction.
func (tx *Tx) rollbackTo(ctx context.Context, number int) error {
	if tx.tx == nil {
		return nil
	}
	if tx.over {
		return tx.failure
	}
	// it was begun in a moment without savepoints, so no data manager can ask for this
	if number == 0 && !tx.base {
		return tx.db.named(transaction.ErrNoSavepoint)
	}
	if tx.busy() {
		tx.closeRows(ctx)
	}
	if err := tx.own(ctx, fmt.Sprintf("ROLLBACK TO SAVEPOINT pasteline_%d", number)); err != nil {
		return tx.db.named(fmt.Errorf("cannot roll back to a savepoint: %w", err))
	}
	tx.failure, tx.final, tx.rows = nil, false, nil
	return nil
}

// own runs a statement of this package's, for which only the values of a context count.
func (tx *Tx) own(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tx.db.options.Timeout)
	defer cancel()
	if _, err := tx.tx.ExecContext(ctx, query); err != nil {
		return tx.failed(ctx, err)
	}
	return nil
}
