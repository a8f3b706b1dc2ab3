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
var ErrByHand = errors.New("storage/postgres: this SQL transaction is committed, or rolled back, with the transaction that it belongs to:" +
	" return an error to have it rolled back, and use Begin for a part of it")

// Tx returns the SQL transaction of db that belongs to the transaction of ctx, for the app's own
// statements. It begins with the first call, at the isolation level SERIALIZABLE; later calls
// return the same one. Its work is committed with the writes to buckets of db, and with the other
// data managers, or not at all.
//
// Its Commit and Rollback return [ErrByHand], and so does a statement that would do the same, as
// far as its text tells. Its Begin makes a savepoint, as with every pgx.Tx, and that one's Commit
// and Rollback work. After the end every method returns transaction.ErrEnded.
//
// The text doesn't show everything, so the server is asked: if a statement of the app has ended the
// SQL transaction nonetheless, the transaction is never committed, and never run again, because the
// work done until then may be kept. The error says so, and wraps ErrByHand and
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
	err = tx.With(func(general engine.View) error { //nolint:contextcheck // the view has the transaction's
		v, ok := general.(*view)
		if !ok {
			return fmt.Errorf("storage/postgres: %s is no PostgreSQL database, which the app's own SQL needs: write postgres://host/database", db.Name())
		}
		if v.sql == nil {
			if v.sql, err = v.beginSQL(); err != nil {
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

// origin is the savepoint from before the first write. It also distinguishes the transaction from
// others.
const origin = "pasteline_origin"

// releaseOrigin begins the text that ends the app's SQL transaction, so that no other is ended: one
// that a statement of the app's began after it had ended the first has no such savepoint.
const releaseOrigin = "RELEASE SAVEPOINT " + origin + "; "

// beginSQL replaces the snapshot, if there is one, by a transaction of the app's.
func (v *view) beginSQL() (*appTx, error) {
	v.mark = newMark()
	options := pgx.TxOptions{AccessMode: pgx.ReadWrite, CommitQuery: v.engine.statements.commitSQLAs(v.mark, v.engine.separately)}
	tx, err := v.begin(options, func(b *pgx.Batch) {
		b.Queue("SAVEPOINT " + origin)
		for _, name := range slices.Sorted(maps.Keys(ownSettings)) {
			b.Queue("SET LOCAL " + name + " TO DEFAULT")
		}
	})
	if err != nil {
		v.release()
		return nil, err
	}
	makeUntidy(tx.Conn().PgConn())
	return &appTx{Tx: tx, access: newAccess(v.ctx, v.engine, tx.Conn())}, nil
}

// An appTx is the SQL transaction of a view, or a savepoint in it, as the app sees it.
type appTx struct {
	pgx.Tx
	*access
	nested bool
}

// begin returns why a statement can't be run, if it can't. Otherwise done is to be called when the
// connection has answered.
func (t *appTx) begin(sql string) (done func(), err error) {
	if err := t.enter(); err != nil {
		return nil, err
	}
	if sqltext.PostgreSQL.Look(sql).Ends {
		t.leave()
		return nil, ErrByHand
	}
	return t.leave, nil
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

func (t *appTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	done, err := t.begin("")
	if err != nil {
		return 0, err
	}
	t.lend()
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
			q.Fn = nil // the app's own are not called by the end
		}
		_ = inner.Close() // what failed is found by the commit
	})
	return &results{BatchResults: inner, access: t.access}
}

func (t *appTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	done, err := t.begin(sql)
	if err != nil {
		return nil, err
	}
	defer done()
	return t.Tx.Prepare(ctx, name, sql)
}

// Conn is for what the connection knows, such as its types. It is nil after the end: another
// transaction has the connection then.
func (t *appTx) Conn() *pgx.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	return t.Tx.Conn()
}

// failed is a result that is only an error.
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

// Savepoint is one in SQL.
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

// Undo leaves the SQL transaction as it began.
func (v *view) Undo() error {
	if v.sql == nil {
		return nil
	}
	return v.exec("ROLLBACK TO SAVEPOINT " + origin)
}

// exec is for savepoints.
func (v *view) exec(sql string) error {
	if err := v.sql.enter(); err != nil {
		return err
	}
	defer v.sql.leave()
	_, err := v.conn.Exec(v.ctx, sql)
	if lostOrigin(err) {
		return v.sql.replaced()
	}
	return v.engine.explain(err)
}

// Abandon rolls back the app's SQL transaction, if it still exists.
func (v *view) Abandon(context.Context) error {
	if ended := v.abandon(); ended != nil { //nolint:contextcheck // an end is told with a context of its own
		return ended
	}
	return nil
}

func (v *view) abandon() *endedError {
	if v.sql == nil || v.conn == nil {
		return nil
	}
	if v.sql.shut(); v.sql.endedBySQL(pgconn.CommandTag{}) {
		return v.sql.ended
	}
	conn := v.conn
	v.conn = nil
	return v.end(conn)
}

// shutSQL refuses further use of the app's SQL transaction before its commit, and returns an error
// if it can't be committed.
func (v *view) shutSQL() error {
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
	if ended := v.abandon(); ended != nil {
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
	return v.engine.explain(fmt.Errorf("a statement failed earlier, its error was passed over, and the server refuses to commit: "+
		"return the error, or put Begin and Rollback around what may fail: %w", err))
}

// Validate returns the conflict that a statement has failed with, in case the app has ignored it.
func (v *view) Validate(*engine.Changes) error {
	if v.sql != nil { // a goroutine that is left over may be at work with the connection
		if err := v.sql.enter(); err != nil {
			return nil // the transaction is of no use any more, and says so by itself
		}
		defer v.sql.leave()
	}
	if err := v.usable(); transaction.IsTransient(err) {
		return err
	}
	return nil
}

// The first error of a transaction is stored with its connection, because later errors are only its
// consequences.
const firstErrorKey = "pasteline: first error"

func keepError(conn *pgconn.PgConn, e *pgconn.PgError) bool {
	if conn.TxStatus() == 'T' {
		conn.CustomData()[firstErrorKey] = e
	}
	return !isFatal(e) && !isForgotten(e) // false closes the connection
}

func firstError(conn *pgx.Conn) error {
	e, ok := conn.PgConn().CustomData()[firstErrorKey].(*pgconn.PgError)
	if !ok {
		return nil
	}
	return e
}
