package sqltx

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/transaction"
)

// A statement that may end the transaction runs behind a savepoint, which is gone afterwards if the
// transaction was ended, whether or not another one has begun: a text, or a procedure, may run
// COMMIT and BEGIN.
const watchpoint = "pasteline_watch"

// watch is called before such a statement.
func (tx *Tx) watch(ctx context.Context, query string) error {
	if _, err := tx.tx.ExecContext(ctx, "SAVEPOINT "+watchpoint); err != nil {
		return tx.failed(ctx, fmt.Errorf("cannot make a savepoint: %w", err))
	}
	tx.watched = query
	return nil
}

// look is called after such a statement, with the connection free, and returns an error if the SQL
// transaction is over, or if that can't be found out. A failed statement may have had a lasting
// effect on MySQL and SQLite.
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

// end makes the transaction fail for good, because query has, or may have, ended the SQL
// transaction.
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
	if err != nil && !classify(err).answered {
		reason = fmt.Sprintf("may have ended the SQL transaction (asked for that: %v)", err)
	}
	tx.failure = tx.db.named(fmt.Errorf("%w: %.60q %s, which kept what was done before it (%s) "+
		"and perhaps a part of its own work; "+
		"what follows is refused, and the work is not done again", transaction.ErrPartlyKept, query, reason, kept))
	tx.final, tx.over, tx.leaves = true, true, true
}

// lookAfterRows is called before a statement. Open rows keep the connection busy until then.
func (tx *Tx) lookAfterRows(ctx context.Context) error {
	if tx.busy() {
		return tx.db.named(errors.New("rows of an earlier statement are still open: close them " +
			"before the next one"))
	}
	if tx.watched == "" {
		return nil
	}
	return tx.look(ctx, tx.errFailed(ctx) != nil)
}

// busy reports whether open rows keep the connection from running anything else: drivers of
// PostgreSQL and MySQL would lose the rows or the connection. SQLite can run more, unless the
// statement's effect has to be checked.
func (tx *Tx) busy() bool {
	text := tx.db.dialect.text
	if tx.watched == "" && text != sqltext.PostgreSQL && text != sqltext.MySQL {
		return false
	}
	return slices.ContainsFunc(tx.rows,
		func(r *relayRows) bool { return r.open() && r.rows.Err() == nil })
}

// closeRows closes the open rows, so that the connection is free.
func (tx *Tx) closeRows(ctx context.Context) {
	for _, r := range tx.rows {
		r.cut = r.cut || r.open()
		if err := r.rows.Close(); err != nil {
			_ = tx.failed(ctx, err)
		}
	}
}

// settle is called before COMMIT and ROLLBACK. It returns an error if the SQL transaction is over,
// or failed.
func (tx *Tx) settle(ctx context.Context) error {
	tx.closeRows(ctx)
	if tx.watched != "" {
		if err := tx.look(ctx, tx.errFailed(ctx) != nil); err != nil {
			return err
		}
	}
	return tx.errFailed(ctx)
}
