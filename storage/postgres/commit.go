package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/crashpoint"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// commitTimeout is how long to wait for the server's answer to a commit; it has statement_timeout for its part.
const commitTimeout = time.Minute

// errGivenUp is the error of a commit that would decide over others, too late. Another attempt is another transaction.
var errGivenUp = transaction.Transient(errors.New("recovery took the transaction for lost and aborted it: what others had prepared is gone"))

// Commit is one statement, unless the app's own SQL is part of it.
func (v *view) Commit(ctx context.Context, c *storage.Changes) error {
	defer v.Close() //nolint:contextcheck // an end is told with a context of its own
	if len(c.Writes) == 0 && v.sql == nil {
		return nil // what it has seen is durable: PostgreSQL shows nothing earlier
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	w, err := v.work(c)
	if err != nil {
		return err
	}
	if v.sql != nil || v.engine.separately {
		return v.commitStaged(ctx, w)
	}
	conn, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer v.engine.end(conn) //nolint:contextcheck // an end is told with a context of its own
	for n := 1; ; n++ {
		bad, err := v.engine.commitAtOnce(ctx, conn, w)
		switch {
		case err == nil && bad.what == 0:
			crashpoint.Here("postgres: committed")
			return nil
		case err == nil:
			return v.conflict(bad, w.changes)
		case isConflict(err) && n < rounds: // perhaps it is none: the versions will tell
			continue
		case isGivenUp(err):
			return errGivenUp
		case !answerLost(err):
			return v.engine.explain(err)
		default:
			return v.engine.outcome(ctx, w, conn, "", err)
		}
	}
}

// work is what c comes to. In the app's SQL transaction there is nothing to compare: PostgreSQL watches what it has read.
func (v *view) work(c *storage.Changes) (*work, error) {
	if v.sql != nil {
		c = &storage.Changes{Writes: c.Writes, Turns: c.Turns, Decision: c.Decision}
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

// commitAtOnce compares and writes in one statement, which is a transaction by itself.
func (e *engine) commitAtOnce(ctx context.Context, conn *pgxpool.Conn, w *work) (bad differs, err error) {
	text := e.statements.commit(w.parts)
	if conn.Conn().PgConn().TxStatus() == 'I' {
		rows, err := conn.Query(ctx, text, w.args...)
		if err != nil {
			return bad, err
		}
		defer rows.Close()
		return bad, bad.scan(rows)
	}
	b := &pgx.Batch{}
	b.Queue("ROLLBACK") // of the snapshot
	b.Queue(text, w.args...).Query(bad.scan)
	return bad, conn.SendBatch(ctx, b).Close()
}

// stage does in a transaction what the commit is to make durable, and begins it if there is none. It comes before a COMMIT or
// PREPARE TRANSACTION by itself, where the app's own SQL has to be committed with it, or the server can't do it at once. It returns
// the number of the transaction, if it has one.
func (v *view) stage(ctx context.Context, conn *pgxpool.Conn, w *work) (number string, err error) {
	for n := 1; ; n++ {
		var bad differs
		b := &pgx.Batch{}
		if v.sql == nil {
			if conn.Conn().PgConn().TxStatus() != 'I' {
				b.Queue("ROLLBACK")
			}
			b.Queue("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE")
		}
		check, writes := w.split()
		if w.parts&checks != 0 {
			b.Queue(v.engine.statements.check(w.parts), check...).Query(bad.scan)
		}
		for _, write := range writes {
			b.Queue(v.engine.statements.write(write.part), write.args...)
		}
		if !v.engine.separately {
			b.Queue("SELECT coalesce(pg_current_xact_id_if_assigned()::text, '')").QueryRow(func(row pgx.Row) error { return row.Scan(&number) })
		}
		err := conn.SendBatch(ctx, b).Close()
		switch {
		case err == nil && bad.what == 0:
			return number, nil
		case err == nil:
			return "", v.conflict(bad, w.changes)
		case isConflict(err) && n < rounds && v.sql == nil:
			continue
		case isGivenUp(err):
			return "", errGivenUp
		}
		return "", v.engine.explain(err)
	}
}

func (v *view) commitStaged(ctx context.Context, w *work) error {
	if err := v.sqlUsable(); err != nil {
		return err
	}
	conn, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer v.engine.end(conn) //nolint:contextcheck // an end is told with a context of its own
	number, err := v.stage(ctx, conn, w)
	if err != nil {
		return err
	}
	crashpoint.Here("postgres: decision recorded")
	tag, err := conn.Exec(ctx, "COMMIT")
	switch {
	case err == nil && tag.String() == "COMMIT":
		crashpoint.Here("postgres: committed")
		return nil
	case err == nil:
		return fmt.Errorf("nothing was committed: the server answered %s", tag)
	case !answerLost(err):
		return v.engine.explain(err)
	default:
		return v.engine.outcome(ctx, w, conn, number, err)
	}
}

// answerLost reports whether a commit that failed with err may have happened all the same. (pgconn.SafeToRetry is no help: of a COMMIT
// that was sent, and whose connection broke then, pgx says that it is.)
func answerLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Severity == "FATAL" || e.Severity == "PANIC" // the server ends the connection, perhaps after the commit
	}
	return true
}

// isGivenUp reports whether a decision met the record of recovery.
func isGivenUp(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName != "" && len(e.TableName) > len("decisions") &&
		e.TableName[len(e.TableName)-len("decisions"):] == "decisions"
}

// outcome finds out whether a commit happened whose answer was lost: nil, a transient error if it did not, or one that is in doubt.
func (e *engine) outcome(ctx context.Context, w *work, conn *pgxpool.Conn, number string, lost error) error {
	pid := conn.Conn().PgConn().PID()
	e.pool.Reset()
	deadline := time.Now().Add(outcomeTimeout)
	for pause := outcomePause; ; pause = min(2*pause, outcomePauseMax) {
		switch answer, err := e.lookFor(ctx, w, pid, number); {
		case err == nil && answer == happened:
			return nil
		case err == nil && answer == didNot:
			return &lackError{fmt.Errorf("the connection was lost, and nothing was committed: %w", lost)}
		case err == nil && answer == unknowable, time.Now().After(deadline), ctx.Err() != nil:
			return fmt.Errorf("%w: the answer of the server was lost: %w", transaction.ErrInDoubt, lost)
		}
		time.Sleep(pause)
	}
}

const (
	outcomeTimeout  = 15 * time.Second
	outcomePause    = 10 * time.Millisecond
	outcomePauseMax = 500 * time.Millisecond
)

// answer is what is known of a commit.
type answer int

const (
	notYet answer = iota // the server may still be at it
	happened
	didNot
	unknowable
)

// lookFor looks for traces. The order counts: what is written is looked for after it is known that the server's process, which would
// write it, is gone.
func (e *engine) lookFor(ctx context.Context, w *work, pid uint32, number string) (answer, error) {
	if id := w.changes.Decision; id != "" {
		committed, err := e.Settle(ctx, id) // whatever it was until now
		if committed {
			return happened, err
		}
		return didNot, err
	}
	conn, err := e.acquire(ctx)
	if err != nil {
		return notYet, err
	}
	defer conn.Release()
	if number != "" {
		var status *string
		if err := conn.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", number).Scan(&status); err != nil {
			return notYet, err
		}
		switch {
		case status == nil:
			return unknowable, nil
		case *status == "committed":
			return happened, nil
		case *status == "aborted":
			return didNot, nil
		}
		return notYet, nil
	}
	gone := true
	if !e.separately {
		if err := conn.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", int64(pid)).Scan(&gone); err != nil {
			return notYet, err
		}
	}
	answer := unknowable
	for i, write := range w.changes.Writes {
		if i == lookAtMost {
			break
		}
		var version int64
		err := conn.QueryRow(ctx, e.statements.version, []byte(write.Bucket), []byte(write.Key)).Scan(&version)
		was, known := w.seen.bucket(write.Bucket).version(write.Key)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return notYet, err
		case version == w.version:
			return happened, nil
		case known && was == version:
			answer = didNot
		}
	}
	if !gone || e.separately && answer != happened {
		return notYet, nil
	}
	return answer, nil
}

// lookAtMost is how many of the keys that a commit wrote are looked at afterwards; one is enough, if nobody has written to it since.
const lookAtMost = 100
