package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// commitTimeout is the time to wait for the server's answer to a commit; the server limits its part
// by statement_timeout.
const commitTimeout = time.Minute

// errGivenUp is the error of a commit that decides over prepared work that recovery has already
// aborted. A retry is a new transaction.
var errGivenUp = transaction.Transient(errors.New("recovery has aborted the transaction, which it took for lost: the prepared work of others is gone"))

// Commit sends one statement, unless the app's own SQL is part of the transaction.
func (v *view) Commit(ctx context.Context, c *engine.Changes) error {
	defer v.Close() //nolint:contextcheck // an end is told with a context of its own
	v.engine.locks.committed()
	if len(c.Writes) == 0 && v.sql == nil {
		return v.commitReading(ctx) // its reads are durable: PostgreSQL shows commits only then
	}
	if err := v.shutSQL(); err != nil { //nolint:contextcheck // an end is told with a context of its own
		return err
	}
	within, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	staged := v.sql != nil || v.engine.separately
	mark := cmp.Or(c.Decision, v.mark, newMark())
	w, err := v.work(c)
	if err != nil {
		return err
	}
	if c.Decision != "" || !staged {
		w.addMark(mark, c.Decision != "" || v.engine.statements.durable)
	}
	conn, err := v.take(within)
	if err != nil {
		return err
	}
	if staged {
		text := "COMMIT"
		if c.Decision == "" {
			text = v.engine.statements.commitAs(mark)
		}
		err = v.commitStaged(within, conn, w, text)
	} else {
		err = v.commitAtOnce(within, conn, w)
	}
	//nolint:contextcheck // now: to find out about a lost answer may take the last free connection
	if ended := v.end(conn); ended != nil {
		return ended
	}
	if lost, ok := errors.AsType[*lostError](err); ok {
		err = v.engine.outcome(ctx, mark, lost)
	}
	if err != nil {
		return err
	}
	failpoint.Here("postgres: committed")
	if c.Decision == "" || v.mark != "" {
		v.engine.Forget(cmp.Or(v.mark, mark)) //nolint:contextcheck // which is nothing that anybody waits for
	}
	return nil
}

// commitReading commits, rather than rolls back, the snapshot of a read-only transaction.
// PostgreSQL must keep the transaction's reads until all concurrent transactions have ended; after
// a ROLLBACK it would forget them, and let one of those commit as if they had not been made. A
// server that has ended the transaction (a time-out, a terminated session, a lost connection) has
// forgotten them, and may have done so at any moment, so the answer is always waited for.
func (v *view) commitReading(ctx context.Context) error {
	if v.conn == nil {
		return nil // a single read was a transaction of its own
	}
	if err := v.usable(); err != nil {
		return err
	}
	conn, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer v.engine.end(conn) //nolint:contextcheck // an end is told with a context of its own
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	err = commit(ctx, conn, "COMMIT")
	if _, ofServer := errors.AsType[*pgconn.PgError](err); err == nil || ofServer && !isLost(err) {
		return v.engine.explain(err)
	}
	v.engine.pool.Reset() // as for every connection that is lost
	return &lackError{fmt.Errorf("the snapshot was lost, and what was read does not count: %w", err)}
}

// work returns the parameters for c. In the app's SQL transaction there is nothing to compare:
// PostgreSQL validates its reads.
func (v *view) work(c *engine.Changes) (*work, error) {
	if v.sql != nil {
		c = &engine.Changes{Writes: c.Writes, Locked: c.Locked}
	}
	var lock func(bucket, key string) int64
	if v.engine.turns != nil {
		lock = v.engine.turnLock
	}
	return newWork(c, &v.seen, lock)
}

// take returns the connection of the view, or one from the pool; it is the caller's to end.
func (v *view) take(ctx context.Context) (*pgxpool.Conn, error) {
	if conn := v.conn; conn != nil {
		v.conn = nil
		return conn, nil
	}
	return v.engine.acquire(ctx)
}

// errRestless is returned when validation kept failing but the changed key could not be determined.
var errRestless = transaction.Transient(errors.New("what was read changes all the time"))

// commitAtOnce compares and writes in one statement, which is a transaction of its own.
func (v *view) commitAtOnce(ctx context.Context, conn *pgxpool.Conn, w *work) error {
	try := v.tryAll
	if _, _, ok := w.few(); ok {
		try = v.tryFew
	}
	for n := 1; ; n++ {
		b := &pgx.Batch{}
		if err := endEarlier(ctx, conn, b); err != nil {
			return v.engine.explain(err)
		}
		done, bad, err := try(ctx, conn, b, w)
		switch {
		case err == nil && done:
			return nil
		case err == nil && bad.what != 0:
			return v.engine.conflict(ctx, conn, bad, w.changes, &v.seen)
		case n < rounds && (err == nil || isSerialization(err)): // perhaps it is none: the versions will tell
			continue
		case err == nil:
			return errRestless
		}
		return v.engine.explainCommit(err)
	}
}

// tryAll adds to b, and sends, the statement that suits every commit.
func (v *view) tryAll(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, w *work) (done bool, bad differs, err error) {
	b.Queue(v.engine.statements.commit(w.parts), w.args...).Query(bad.scan)
	err = conn.SendBatch(ctx, b).Close()
	return err == nil && bad.what == 0, bad, err
}

// tryFew is tryAll with a statement that costs the server less, but does not say which key differs,
// so that has to be queried. If nothing differs by then, it was no conflict.
func (v *view) tryFew(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, w *work) (done bool, bad differs, err error) {
	shape, args, _ := w.few()
	written, err := execAfter(ctx, conn, b, v.engine.statements.few(shape), args)
	if err != nil {
		return false, bad, err
	}
	if written > 0 || w.parts&checks == 0 {
		return written > 0, bad, nil
	}
	check, _ := w.split()
	rows, err := conn.Query(ctx, v.engine.statements.check(w.parts), check...)
	if err != nil {
		return false, bad, err
	}
	defer rows.Close()
	err = bad.scan(rows)
	return false, bad, err
}

// execAfter runs the statements of b, and then one more, in one round trip, and returns how many
// rows that has written. Nearly always b is empty: then a plain statement allocates less than a
// batch of one.
func execAfter(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, text string, args []any) (written int64, err error) {
	if b.Len() == 0 {
		tag, err := conn.Exec(ctx, text, args...)
		return tag.RowsAffected(), err
	}
	b.Queue(text, args...).Exec(func(tag pgconn.CommandTag) error {
		written = tag.RowsAffected()
		return nil
	})
	err = conn.SendBatch(ctx, b).Close() // the error may follow the count of rows: only the end counts
	return written, err
}

// endEarlier ends the SQL transaction that conn may be in, as the first statement of b. If that
// transaction has failed, it ends it at once: nothing could be prepared meanwhile.
func endEarlier(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch) error {
	switch conn.Conn().PgConn().TxStatus() {
	case 'T':
		b.Queue("ROLLBACK")
	case 'E':
		_, err := conn.Exec(ctx, "ROLLBACK")
		return err
	}
	return nil
}

// explainCommit is explain for the error of a statement that commits.
func (e *database) explainCommit(err error) error {
	switch {
	case isNotSerializable(err):
		return e.explain(err)
	case isGivenUp(err):
		return errGivenUp
	case answerLost(err):
		return &lostError{err}
	}
	return e.explain(err)
}

// stage runs the checks and writes of the commit in a transaction, and begins one if there is none.
// A separate COMMIT or PREPARE TRANSACTION follows, where the app's own SQL has to be committed
// too, or the server can't do everything in one statement.
func (v *view) stage(ctx context.Context, conn *pgxpool.Conn, w *work) error {
	for n := 1; ; n++ {
		var bad differs
		b := &pgx.Batch{}
		if v.sql == nil {
			if err := endEarlier(ctx, conn, b); err != nil {
				return v.engine.explain(err)
			}
			b.Queue("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE")
		}
		check, writes := w.split()
		v.aside(b, w.parts != 0, func() {
			if w.parts&checks != 0 {
				b.Queue(v.engine.statements.check(w.parts), check...).Query(bad.scan)
			}
			for _, write := range writes {
				b.Queue(v.engine.statements.write(write.part), write.args...)
			}
		})
		err := conn.SendBatch(ctx, b).Close()
		switch {
		case err == nil && bad.what == 0:
			return nil
		case err == nil:
			if v.sql == nil {
				_, _ = conn.Exec(ctx, "ROLLBACK") // to look for the changed key without the transaction's own writes
			}
			return v.engine.conflict(ctx, conn, bad, w.changes, &v.seen)
		case isSerialization(err) && n < rounds && v.sql == nil:
			continue
		case isGivenUp(err):
			return errGivenUp
		case isReadOnly(err) && v.sql != nil:
			return fmt.Errorf("%w: %w", errReadOnly, err)
		}
		return v.engine.explain(err)
	}
}

func (v *view) commitStaged(ctx context.Context, conn *pgxpool.Conn, w *work, text string) error {
	for n := 1; ; n++ {
		if err := v.stage(ctx, conn, w); err != nil {
			return err
		}
		failpoint.Here("postgres: decision recorded")
		var err error
		if v.sql != nil {
			v.sql.released = true
			err = v.sql.Tx.Commit(ctx) // with a text of its own; it refuses everything then
		} else {
			err = commit(ctx, conn, text)
		}
		switch {
		case err == nil:
			return nil
		case isSerialization(err) && n < rounds && v.sql == nil: // as in stage
			continue
		case lostOrigin(err):
			return v.sql.replaced()
		case errors.Is(err, pgx.ErrTxCommitRollback):
			return errors.New("nothing was committed: the server answered ROLLBACK")
		case isReadOnly(err) && v.sql != nil:
			return fmt.Errorf("%w: %w", errReadOnly, err)
		}
		return v.engine.explainCommit(err)
	}
}

// commit is pgx.Tx.Commit where there is no pgx.Tx.
func commit(ctx context.Context, conn *pgxpool.Conn, text string) error {
	tag, err := conn.Exec(ctx, text)
	if err == nil && tag.String() != "COMMIT" {
		return pgx.ErrTxCommitRollback
	}
	return err
}

// answerLost reports whether a commit that failed with err may have happened nonetheless.
// (pgconn.SafeToRetry does not help: it reports true for a COMMIT that was sent and whose
// connection then broke.)
func answerLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return isFatal(e) // the server ends the connection, perhaps after the commit
	}
	return true
}

// A lostError is the error of a commit that may have happened.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// isGivenUp reports whether a decision met the record of recovery.
func isGivenUp(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName != "" && len(e.TableName) > len("decisions") &&
		e.TableName[len(e.TableName)-len("decisions"):] == "decisions"
}

// outcome finds out whether a commit happened whose answer was lost. It returns nil if so, a
// transient error if it did not and never will, or else one that is in doubt. Only the commit's
// record can tell: the versions that it wrote may be overwritten by now, or it wrote none; the
// number of its transaction may belong to another one after a crash; and its statement may still be
// on its way.
func (e *database) outcome(ctx context.Context, mark string, lost error) error {
	e.pool.Reset()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outcomeTimeout)
	defer cancel()
	for pause := outcomePause; ; pause = min(2*pause, outcomePauseMax) {
		committed, err := e.Settle(ctx, mark)
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return &lackError{fmt.Errorf("the connection was lost, and nothing was committed: %w", lost)}
		case ctx.Err() != nil:
			return fmt.Errorf("%w: the answer of the server was lost (%w), and it can't be asked: %w", transaction.ErrInDoubt, lost, err)
		}
		time.Sleep(pause)
	}
}

const (
	outcomeTimeout  = 15 * time.Second
	outcomePause    = 10 * time.Millisecond
	outcomePauseMax = 500 * time.Millisecond
)

// markPrefix distinguishes the ids of commits' records from those of transactions that were decided
// over others.
const markPrefix = "-"

// newMark returns an id for the record of a commit, by which it can be found if its answer is lost.
func newMark() string { return markPrefix + newID() }
