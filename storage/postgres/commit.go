package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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

// errAborted is the error of a commit that decides over prepared work that recovery has already
// aborted. Nothing of the transaction was committed anywhere, so it may be run again.
var errAborted = transaction.Transient(errors.New("recovery has aborted the transaction, " +
	"which it took for lost: the prepared work of others is gone"))

// Commit sends one statement, unless the app's own SQL is part of the transaction.
func (v *view) Commit(ctx context.Context, c *engine.Changes) error {
	defer v.close(ctx)
	v.engine.locks.committed()
	if len(c.Writes) == 0 && v.sql == nil {
		if err := v.Await(ctx); err != nil {
			return err
		}
		return v.commitSnapshot(ctx) // its reads are durable: PostgreSQL shows commits only then
	}
	if err := v.shutSQL(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	staged := v.sql != nil || v.engine.separately
	id := cmp.Or(c.Decision, v.commitID, newCommitID())
	w, err := v.commitParams(c)
	if err != nil {
		return err
	}
	if c.Decision != "" || !staged {
		w.addCommitID(id, c.Decision != "" || v.engine.statements.durable)
	}
	if staged || c.Decision != "" || c.Accepted == nil {
		err = v.commitByItself(within, c, w, id, staged)
	} else {
		err = v.commitAccepted(within, c, w)
	}
	if err != nil {
		return err
	}
	failpoint.Here("postgres: committed")
	if c.Decision == "" || v.commitID != "" {
		v.engine.forget(ctx, cmp.Or(v.commitID, id))
	}
	return nil
}

// commitByItself commits without another transaction.
func (v *view) commitByItself(ctx context.Context, c *engine.Changes, w *commitParams, id string,
	staged bool,
) error {
	if err := v.awaitInherited(); err != nil {
		return err
	}
	if v.sql == nil {
		v.await(ctx, c)
	}
	conn, err := v.claimConn(ctx)
	if err != nil {
		return err
	}
	if staged {
		text := "COMMIT"
		if c.Decision == "" {
			text = v.engine.statements.commitAs(id)
		}
		err = v.commitStaged(ctx, conn, w, text)
	} else {
		err = v.engine.commitAtOnce(ctx, conn, w, &v.reads)
	}
	// before resolveLost, which may need the last free connection
	if ended := v.end(ctx, conn); ended != nil {
		return ended
	}
	if lost, ok := errors.AsType[*lostError](err); ok {
		err = v.engine.resolveLost(ctx, id, lost)
	}
	return err
}

// commitSnapshot commits, rather than rolls back, the snapshot of a read-only transaction.
// PostgreSQL must keep the transaction's reads until all concurrent transactions have ended; after
// a ROLLBACK it would forget them, and let a concurrent transaction commit as if they had not been
// made. A server that has ended the transaction (a time-out, a terminated session, a lost
// connection) has forgotten them too, at any moment, so commitSnapshot always waits for the answer.
func (v *view) commitSnapshot(ctx context.Context) error {
	if v.conn == nil {
		return nil // a single read was a transaction of its own
	}
	if err := v.usable(); err != nil {
		return err
	}
	conn, err := v.claimConn(ctx)
	if err != nil {
		return err
	}
	defer v.engine.end(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	err = commit(ctx, conn, "COMMIT")
	if _, ofServer := errors.AsType[*pgconn.PgError](err); err == nil || ofServer && !isLost(err) {
		return v.engine.explain(err)
	}
	v.engine.pool.Reset() // as for every lost connection
	return &transientError{fmt.Errorf("the snapshot was lost, so its reads are not valid: %w", err)}
}

// commitParams returns the parameters for c. In the app's SQL transaction no versions are compared:
// PostgreSQL validates its reads.
func (v *view) commitParams(c *engine.Changes) (*commitParams, error) {
	if v.sql != nil {
		c = &engine.Changes{Writes: c.Writes, Locked: c.Locked}
	}
	var lock func(bucket, key string) int64
	if v.engine.lockPool != nil {
		lock = v.engine.keyLock
	}
	return newCommitParams(c, &v.reads, lock)
}

// claimConn returns the connection of the view, or one from the pool. The caller ends it.
func (v *view) claimConn(ctx context.Context) (*pgxpool.Conn, error) {
	if conn := v.conn; conn != nil {
		v.conn = nil
		return conn, nil
	}
	return v.engine.acquireConn(ctx)
}

// errUnstable is returned when validation kept failing but the changed key could not be determined.
var errUnstable = transaction.Transient(errors.New("the data that was read changes all the time"))

// commitAtOnce compares and writes in one statement, which is an SQL transaction of its own.
func (e *database) commitAtOnce(ctx context.Context, conn *pgxpool.Conn, w *commitParams,
	s *readSet,
) error {
	bad, err := e.compareAndWrite(ctx, conn, w)
	if err == nil && bad.what != 0 {
		return e.conflict(ctx, conn, bad, w.changes, s)
	}
	return err
}

// compareAndWrite sends the statement of a commit. It returns the mismatch if the server has refused
// it.
func (e *database) compareAndWrite(ctx context.Context, conn *pgxpool.Conn,
	w *commitParams,
) (mismatch, error) {
	try := e.tryGeneral
	if _, _, ok := w.small(); ok {
		try = e.trySmall
	}
	for n := 1; ; n++ {
		b := &pgx.Batch{}
		if err := endEarlier(ctx, conn, b); err != nil {
			return mismatch{}, e.explain(err)
		}
		done, bad, err := try(ctx, conn, b, w)
		switch {
		case err == nil && (done || bad.what != 0):
			return bad, nil
		// it may be a false conflict: compare again
		case n < maxRuns && (err == nil || isSerialization(err)):
			continue
		case err == nil:
			return bad, errUnstable
		}
		return mismatch{}, e.explainCommit(err)
	}
}

// tryGeneral adds to b the statement that suits every commit, and sends b.
func (e *database) tryGeneral(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch,
	w *commitParams,
) (done bool, bad mismatch, err error) {
	b.Queue(e.statements.commit(w.parts), w.all()...).Query(bad.scan)
	err = conn.SendBatch(ctx, b).Close()
	return err == nil && bad.what == 0, bad, err
}

// trySmall is tryGeneral with a statement that costs the server less, but does not return the key
// that differs, so that takes another query. If nothing differs by then, it was no conflict.
func (e *database) trySmall(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch,
	w *commitParams,
) (done bool, bad mismatch, err error) {
	shape, args, _ := w.small()
	written, err := execAfter(ctx, conn, b, e.statements.smallCommit(shape), args)
	if err != nil {
		return false, bad, err
	}
	if written > 0 || w.parts&checks == 0 {
		return written > 0, bad, nil
	}
	check, _ := w.split()
	rows, err := conn.Query(ctx, e.statements.check(w.parts), check...)
	if err != nil {
		return false, bad, err
	}
	defer rows.Close()
	err = bad.scan(rows)
	return false, bad, err
}

// execAfter runs the statements of b and then one more, in one round trip, and returns the number
// of rows that the last has written. Nearly always b is empty: then a plain statement allocates
// less than a batch of one.
func execAfter(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, text string,
	args []any,
) (written int64, err error) {
	if b.Len() == 0 {
		tag, err := conn.Exec(ctx, text, args...)
		return tag.RowsAffected(), err
	}
	b.Queue(text, args...).Exec(func(tag pgconn.CommandTag) error {
		written = tag.RowsAffected()
		return nil
	})
	err = conn.SendBatch(ctx, b).Close() // the error may follow the count
	return written, err
}

// endEarlier ends the SQL transaction that conn may be in, as the first statement of b. If that
// transaction has failed, endEarlier ends it at once: pgx could prepare no statement in it.
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
	case isAborted(err):
		return errAborted
	case answerLost(err):
		return &lostError{err}
	}
	return e.explain(err)
}

// stage runs the checks and writes of the commit in the app's SQL transaction, or in one that it
// begins. A separate COMMIT or PREPARE TRANSACTION follows. That is for commits with the app's own
// SQL, for prepared ones, and for servers that can't do everything in one statement.
func (v *view) stage(ctx context.Context, conn *pgxpool.Conn, w *commitParams) error {
	for n := 1; ; n++ {
		var bad mismatch
		b := &pgx.Batch{}
		if v.sql == nil {
			if err := endEarlier(ctx, conn, b); err != nil {
				return v.engine.explain(err)
			}
			b.Queue("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE")
		}
		check, writes := w.split()
		v.asOwnRole(b, w.parts != 0, func() {
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
				// so that conflict does not see the transaction's own writes
				_, _ = conn.Exec(ctx, "ROLLBACK")
			}
			return v.engine.conflict(ctx, conn, bad, w.changes, &v.reads)
		case isSerialization(err) && n < maxRuns && v.sql == nil:
			continue
		case isAborted(err):
			return errAborted
		case isReadOnly(err) && v.sql != nil:
			return fmt.Errorf("%w: %w", errReadOnly, err)
		}
		return v.engine.explain(err)
	}
}

func (v *view) commitStaged(ctx context.Context, conn *pgxpool.Conn, w *commitParams,
	text string,
) error {
	for n := 1; ; n++ {
		if err := v.stage(ctx, conn, w); err != nil {
			return err
		}
		failpoint.Here("postgres: decision recorded")
		var err error
		if v.sql != nil {
			v.sql.released = true
			err = v.sql.Tx.Commit(ctx) // sends CommitQuery
		} else {
			err = commit(ctx, conn, text)
		}
		switch {
		case err == nil:
			return nil
		case isSerialization(err) && n < maxRuns && v.sql == nil: // as in stage
			continue
		case originMissing(err):
			return v.sql.endReplaced()
		case errors.Is(err, pgx.ErrTxCommitRollback):
			return errors.New("nothing was committed: the server answered ROLLBACK")
		case isReadOnly(err) && v.sql != nil:
			return fmt.Errorf("%w: %w", errReadOnly, err)
		}
		return v.engine.explainCommit(err)
	}
}

// commit is pgx.Tx.Commit for a connection without a pgx.Tx.
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

// A lostError is the error of a commit whose answer was lost: it may have happened.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// isAborted reports whether err says that recovery has already recorded the transaction as aborted.
func isAborted(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName != "" && // unique_violation
		strings.HasSuffix(e.TableName, "decisions")
}

// resolveLost finds out whether a commit whose answer was lost has happened. It returns nil if so,
// a transient error if the commit did not happen and never will, or else an error that wraps
// ErrInDoubt. Only the commit's record is evidence: the versions that it wrote may be overwritten
// by now, or it wrote none; the number of its transaction may belong to another one after a crash;
// and its statement may still be on its way.
func (e *database) resolveLost(ctx context.Context, id string, lost error) error {
	e.pool.Reset()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outcomeTimeout)
	defer cancel()
	for pause := outcomePause; ; pause = min(2*pause, outcomePauseMax) {
		committed, err := e.Settle(ctx, id)
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return &transientError{fmt.Errorf(
				"the connection was lost, and nothing was committed: %w", lost)}
		case ctx.Err() != nil:
			return fmt.Errorf("%w: the answer of the server was lost (%w), "+
				"and it can't be reached: %w", transaction.ErrInDoubt, lost, err)
		}
		time.Sleep(pause)
	}
}

const (
	outcomeTimeout  = 15 * time.Second
	outcomePause    = 10 * time.Millisecond
	outcomePauseMax = 500 * time.Millisecond
)

// commitIDPrefix distinguishes the ids of ordinary commits from those of transactions that decided
// over the prepared work of others.
const commitIDPrefix = "-"

// newCommitID returns an id for the record of a commit, which resolveLost looks up.
func newCommitID() string { return commitIDPrefix + newID() }
