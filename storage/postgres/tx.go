package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// ErrByHand is returned for a commit or rollback of the transaction that [Tx] returns.
var ErrByHand = errors.New("storage/postgres: this SQL transaction is committed, " +
	"or rolled back, with the transaction that it belongs to: " +
	"return an error to have it rolled back, and use Begin for a part of it")

// Tx returns the SQL transaction of db that belongs to the transaction of ctx, for the app's own
// statements. It begins with the first call, at the isolation level SERIALIZABLE; later calls
// return the same one. Its work is committed with the writes to buckets of db, and with the other
// data managers, or not at all.
//
// Its Commit and Rollback return [ErrByHand], and so does a statement that would do the same, as
// far as its text tells. Its Begin makes a savepoint, as with every pgx.Tx, and that one's Commit
// and Rollback work. After the end every method returns transaction.ErrEnded.
//
// The text doesn't show everything, so the server's state is checked too: if a statement of the app
// has ended the SQL transaction nonetheless, the transaction is never committed, and never run
// again, because the work done until then may be kept. The error says so, and wraps ErrByHand and
// [transaction.ErrPartlyKept].
//
// A server's error that reports a conflict, or a lost connection, is transient: if the handler
// returns it (or wraps it), the work is run again. After any error the server refuses all later
// statements, unless there was a savepoint.
//
// The errors of Tx are those of [storage.DB.Tx]; a conflict, if something read before has changed;
// or that db is not kept in PostgreSQL. Its methods, and those of its rows and other results, may
// be called by several goroutines, which wait for each other; but the server runs one statement at
// a time, so rows have to be read, or closed, before the next statement. Rows that are open at the
// end are closed. (Large objects use the connection directly: don't use them while another
// goroutine may end the transaction.)
func Tx(ctx context.Context, db *storage.DB) (pgx.Tx, error) {
	tx, err := db.Tx(ctx)
	if err != nil {
		return nil, err
	}
	var sql *appTx
	err = tx.With(func(general engine.View) error {
		v, ok := general.(*view)
		if !ok {
			return fmt.Errorf("storage/postgres: %s is no PostgreSQL database, "+
				"which the app's own SQL needs: write postgres://host/database", db.Name())
		}
		if v.sql == nil {
			if v.sql, err = v.beginSQL(ctx); err != nil {
				return fmt.Errorf("storage: %s: %w", db.Name(), err)
			}
		}
		sql = v.sql
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sql, nil
}

// origin is the name of a savepoint before the first write. It also distinguishes the transaction
// from others.
const origin = "pasteline_origin"

// releaseOrigin begins the text that ends the app's SQL transaction. If a statement of the app has
// ended that and begun another transaction, the text fails, because that has no such savepoint.
const releaseOrigin = "RELEASE SAVEPOINT " + origin + "; "

// beginSQL begins the app's SQL transaction, which replaces the view's snapshot.
func (v *view) beginSQL(ctx context.Context) (*appTx, error) {
	v.commitID = newCommitID()
	options := pgx.TxOptions{
		AccessMode:  pgx.ReadWrite,
		CommitQuery: v.engine.statements.commitSQLAs(v.commitID, v.engine.separately),
	}
	tx, err := v.begin(options, func(b *pgx.Batch) {
		b.Queue("SAVEPOINT " + origin)
		for _, name := range slices.Sorted(maps.Keys(ownSettings)) {
			b.Queue("SET LOCAL " + name + " TO DEFAULT")
		}
	})
	if err != nil {
		v.release(ctx)
		return nil, err
	}
	markDirty(tx.Conn().PgConn())
	return &appTx{Tx: tx, access: newAccess(ctx, v.engine, tx.Conn())}, nil
}

// An appTx is the SQL transaction of a view, or a savepoint in it, as the app sees it.
type appTx struct {
	pgx.Tx
	*access
	nested bool
}

// begin acquires the connection for a statement; done releases it. It returns an error if the
// statement would end the transaction.
func (t *appTx) begin(sql string) (done func(), err error) {
	if err := t.acquire(); err != nil {
		return nil, err
	}
	if sqltext.PostgreSQL.Look(sql).Ends {
		t.release()
		return nil, ErrByHand
	}
	return t.release, nil
}

func (t *appTx) Commit(ctx context.Context) error { return t.endNested(ctx, t.Tx.Commit) }

func (t *appTx) Rollback(ctx context.Context) error { return t.endNested(ctx, t.Tx.Rollback) }

func (t *appTx) endNested(ctx context.Context, end func(context.Context) error) error {
	if !t.nested {
		return ErrByHand
	}
	done, err := t.begin("")
	if err != nil {
		return err
	}
	defer done()
	return end(ctx)
}

func (t *appTx) Begin(ctx context.Context) (pgx.Tx, error) {
	done, err := t.begin("")
	if err != nil {
		return nil, err
	}
	defer done()
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &appTx{Tx: tx, access: t.access, nested: true}, nil
}

func (t *appTx) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	done, err := t.begin(sql)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer done()
	tag, err := t.Tx.Exec(ctx, sql, arguments...)
	switch {
	case err != nil && t.expired():
		err = &tooLongError{t.limit}
	case isExhausted(err):
		err = t.engine.exhausted(err)
	case !t.endedBySQL(tag):
	case err == nil:
		err = t.ended
	default:
		err = fmt.Errorf("%w: %w", t.ended, err)
	}
	return tag, err
}

func (t *appTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	done, err := t.begin(sql)
	if err != nil {
		return failed{err}, err
	}
	defer done()
	inner, err := t.Tx.Query(ctx, sql, args...)
	if err != nil {
		return inner, err
	}
	t.opened(inner.Close)
	return &rows{Rows: inner, access: t.access}, nil
}

func (t *appTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := t.Query(ctx, sql, args...)
	if err != nil {
		return failed{err}
	}
	return row{rows}
}

func (t *appTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string,
	rows pgx.CopyFromSource,
) (int64, error) {
	done, err := t.begin("")
	if err != nil {
		return 0, err
	}
	t.beginCallbacks()
	defer done()
	return t.Tx.CopyFrom(ctx, table, columns, rows)
}

func (t *appTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		if sqltext.PostgreSQL.Look(q.SQL).Ends {
			return pgx.FailedBatchResults(b, ErrByHand)
		}
	}
	done, err := t.begin("")
	if err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	defer done()
	inner := t.Tx.SendBatch(ctx, b)
	t.opened(func() {
		for _, q := range b.QueuedQueries {
			q.Fn = nil // the end of the transaction calls no functions of the app
		}
		_ = inner.Close() // the commit fails too
	})
	return &results{BatchResults: inner, access: t.access}
}

func (t *appTx) Prepare(ctx context.Context, name, sql string) (
	*pgconn.StatementDescription, error,
) {
	done, err := t.begin(sql)
	if err != nil {
		return nil, err
	}
	defer done()
	return t.Tx.Prepare(ctx, name, sql)
}

// Conn returns the connection, for its type map for example. After the end it returns nil, because
// another transaction may have the connection.
func (t *appTx) Conn() *pgx.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	return t.Tx.Conn()
}

// failed is a result that has only an error.
type failed struct{ err error }

func (f failed) Close()                                       {}
func (f failed) Err() error                                   { return f.err }
func (f failed) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (f failed) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (f failed) Next() bool                                   { return false }
func (f failed) Scan(...any) error                            { return f.err }
func (f failed) Values() ([]any, error)                       { return nil, f.err }
func (f failed) RawValues() [][]byte                          { return nil }
func (f failed) Conn() *pgx.Conn                              { return nil }
func (f failed) TypeMap() *pgtype.Map                         { return nil }

// Written reports whether the app has an SQL transaction: its statements may have written.
func (v *view) Written() bool { return v.sql != nil }

// Savepoint makes an SQL savepoint.
func (v *view) Savepoint() (rollback func() error, err error) {
	if v.sql == nil {
		return v.Undo, nil
	}
	v.savepoints++
	name := "pasteline_" + strconv.Itoa(v.savepoints)
	if err := v.exec("SAVEPOINT " + name); err != nil {
		return nil, err
	}
	return func() error { return v.exec("ROLLBACK TO SAVEPOINT " + name) }, nil
}

// Undo rolls the SQL transaction back to its beginning.
func (v *view) Undo() error {
	if v.sql == nil {
		return nil
	}
	return v.exec("ROLLBACK TO SAVEPOINT " + origin)
}

// exec runs a savepoint statement in the app's SQL transaction.
func (v *view) exec(sql string) error {
	if err := v.sql.acquire(); err != nil {
		return err
	}
	defer v.sql.release()
	_, err := v.conn.Exec(v.ctx, sql)
	if originMissing(err) {
		return v.sql.endReplaced()
	}
	return v.engine.explain(err)
}

// Abandon rolls back the app's SQL transaction, if it still exists.
func (v *view) Abandon(ctx context.Context) error {
	if ended := v.abandon(ctx); ended != nil {
		return ended
	}
	return nil
}

func (v *view) abandon(ctx context.Context) *endedError {
	if v.sql == nil || v.conn == nil {
		return nil
	}
	if v.sql.shut(); v.sql.endedBySQL(pgconn.CommandTag{}) {
		return v.sql.ended
	}
	conn := v.conn
	v.conn = nil
	return v.end(ctx, conn)
}

// shutSQL refuses further use of the app's SQL transaction before its commit, and returns an error
// if it can't be committed.
func (v *view) shutSQL(ctx context.Context) error {
	if v.sql == nil {
		return nil
	}
	v.sql.shut()
	switch {
	case v.sql.expired():
		return &tooLongError{v.sql.limit}
	case v.sql.endedBySQL(pgconn.CommandTag{}):
		return v.sql.ended
	}
	err := v.usable()
	if err == nil {
		return nil
	}
	if ended := v.abandon(ctx); ended != nil {
		return ended
	}
	return err
}

// usable returns an error if the SQL transaction can't be committed because a statement in it has
// failed.
func (v *view) usable() error {
	if v.conn == nil || v.conn.Conn().IsClosed() || v.conn.Conn().PgConn().TxStatus() != 'E' {
		return nil
	}
	err := firstError(v.conn.Conn())
	if err == nil {
		err = errors.New("the server gave no reason")
	}
	return v.engine.explain(fmt.Errorf("a statement failed earlier, its error was ignored, "+
		"and the server refuses to commit: "+
		"return the error, or run statements that may fail between Begin and Rollback: %w", err))
}

// Validate returns the conflict that a statement has failed with, in case the app has ignored it.
func (v *view) Validate(*engine.Changes) error {
	if v.sql != nil { // another goroutine of the app may still use the connection
		if err := v.sql.acquire(); err != nil {
			return nil // the commit will return the reason
		}
		defer v.sql.release()
	}
	if err := v.usable(); transaction.IsTransient(err) {
		return err
	}
	return nil
}

// The first error of a transaction is stored with its connection, because later errors are only its
// consequences.
const firstErrorKey = "pasteline: first error"

func recordError(conn *pgconn.PgConn, e *pgconn.PgError) bool {
	if conn.TxStatus() == 'T' {
		conn.CustomData()[firstErrorKey] = e
	}
	return !isFatal(e) && !isStatementLost(e) // false closes the connection
}

func firstError(conn *pgx.Conn) error {
	e, ok := conn.PgConn().CustomData()[firstErrorKey].(*pgconn.PgError)
	if !ok {
		return nil
	}
	return e
}
