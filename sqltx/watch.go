package sqltx

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/transaction"
)

// A statement after which the transaction may be over is run behind a savepoint, which is gone afterwards if the
// transaction was ended, whether another one has begun or not: a text, or a procedure, may be COMMIT and BEGIN.
const watchpoint = "pasteline_watch"

// watch is called before such a statement.
func (tx *Tx) watch(ctx context.Context, query string) error {
	if _, err := tx.tx.ExecContext(ctx, "SAVEPOINT "+watchpoint); err != nil {
		return tx.failed(ctx, fmt.Errorf("cannot make a savepoint: %w", err))
	}
	tx.watched = query
	return nil
}

// look is called after it, with the connection free, and returns an error if the SQL transaction is over, or if that
// can't be found out. A statement that failed may have had an effect on MySQL and SQLite, which stays.
func (tx *Tx) look(ctx context.Context, failed bool) error {
	query, dialect := tx.watched, tx.db.dialect
	tx.watched = ""
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tx.db.options.Timeout)
	defer cancel()
	var err error
	switch {
	case dialect.text.Look(query).Savepoints: // which may have taken the watchpoint with them
		var answer answer
		if answer, err = dialect.inTransaction(ctx, tx.tx); answer == inTransaction {
			return nil
		}
	case failed && dialect.text == sqltext.PostgreSQL: // it refuses everything else
		_, err = tx.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+watchpoint)
	default:
		_, err = tx.tx.ExecContext(ctx, "RELEASE SAVEPOINT "+watchpoint)
	}
	if err == nil && !dialect.text.Look(query).Savepoints {
		return nil
	}
	tx.end(query, err)
	return tx.failure
}

// end makes the transaction fail for good: query has ended the SQL transaction, or may have.
func (tx *Tx) end(query string, err error) {
	kept := "nothing"
	for i, done := range tx.done {
		switch i {
		case 0:
			kept = fmt.Sprintf("%.60q", done)
		case maxDone:
			kept += " and more"
		default:
			kept += fmt.Sprintf(", %.60q", done)
		}
	}
	reason := "has ended the SQL transaction"
	if err != nil && !judge(err).said {
		reason = fmt.Sprintf("may have ended the SQL transaction (asked for that: %v)", err)
	}
	tx.failure = tx.db.named(fmt.Errorf("%w: %.60q %s, which kept what was done before it (%s) and perhaps a part of its own work; "+
		"what follows is refused, and the work is not done again", transaction.ErrPartlyKept, query, reason, kept))
	tx.final, tx.over, tx.leaves = true, true, true
}

// lookAfterRows is called before a statement. As long as rows are open, the connection is busy with them.
func (tx *Tx) lookAfterRows(ctx context.Context) error {
	if tx.busy() {
		return tx.db.named(errors.New("rows of an earlier statement are still open: close them before the next one"))
	}
	if tx.watched == "" {
		return nil
	}
	return tx.look(ctx, tx.errFailed(ctx) != nil)
}

// busy reports whether rows are open, and nothing else can be done on the connection meanwhile: drivers of PostgreSQL and
// MySQL would lose the rows or the connection over it. SQLite can, unless it has to be seen what the statement does.
func (tx *Tx) busy() bool {
	text := tx.db.dialect.text
	if tx.watched == "" && text != sqltext.PostgreSQL && text != sqltext.MySQL {
		return false
	}
	return slices.ContainsFunc(tx.rows, func(r *relayRows) bool { return r.open() && r.rows.Err() == nil })
}

// closeRows makes the connection free.
func (tx *Tx) closeRows(ctx context.Context) {
	for _, r := range tx.rows {
		r.cut = r.cut || r.open()
		if err := r.rows.Close(); err != nil {
			_ = tx.failed(ctx, err)
		}
	}
}

// settle is called before COMMIT and ROLLBACK. It returns an error if the SQL transaction is over, or failed.
func (tx *Tx) settle(ctx context.Context) error {
	tx.closeRows(ctx)
	if tx.watched != "" {
		if err := tx.look(ctx, tx.errFailed(ctx) != nil); err != nil {
			return err
		}
	}
	return tx.errFailed(ctx)
}
