package sqltx

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/transaction"
)

// The table has a row for every commit that recovery may ask about, and for every one that recovery
// has ruled out. Its SQL works in all databases. All values are written into the statements,
// because the syntax of parameters differs; they are letters, digits and hyphens.

// The outcomes of a transaction in its row.
const (
	committed = "committed"
	aborted   = "aborted"
)

// identityKey is the id of the row that holds the RecorderID. IDs of transactions have no hyphen.
const identityKey = "decider-id"

// errGivenUp is the error of a commit that decides over prepared work that recovery has already
// aborted. Nothing was committed, so it is transient.
var errGivenUp = transaction.Transient(errors.New("recovery has aborted the transaction, " +
	"which it took for lost: the prepared work of others is gone"))

func (db *DB) createTable() string {
	return "CREATE TABLE " + db.table +
		" (id VARCHAR(64) NOT NULL PRIMARY KEY, outcome VARCHAR(64) NOT NULL, " +
		"decided_at BIGINT NOT NULL)"
}

func (db *DB) insert(id, outcome string) string {
	return fmt.Sprintf("INSERT INTO %s (id, outcome, decided_at) VALUES ('%s', '%s', %d)",
		db.table, id, outcome, time.Now().Unix())
}

// own runs f in a transaction of this package. It is an explicit one because the connections of a
// pool may not be in autocommit mode, and would keep showing the state at their first statement.
func (db *DB) own(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.sql.BeginTx(ctx, &sql.TxOptions{Isolation: db.dialect.isolation()})
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the error counts
		return err
	}
	return tx.Commit()
}

func (db *DB) exec(ctx context.Context, query string) error {
	return db.own(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query)
		return err
	})
}

// outcome returns the outcome in the row of that id, or "" if there is none.
func (db *DB) outcome(ctx context.Context, id string) (outcome string, err error) {
	err = db.own(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx,
			"SELECT outcome FROM "+db.table+" WHERE "+db.dialect.isID(id)).Scan(&outcome)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return outcome, err
}

// prepareTable creates the table and its first row, unless they exist. If another process creates
// them at the same time, one of the two fails, in a way that depends on the database; so the result
// is judged by whether they exist afterwards.
func (db *DB) prepareTable(ctx context.Context) error {
	id, err := db.outcome(ctx, identityKey)
	if err != nil {
		createErr := db.exec(ctx, db.createTable())
		if id, err = db.outcome(ctx, identityKey); err != nil {
			if createErr != nil {
				// the better reason: why there is no table, or that there is no database
				err = createErr
			}
			return fmt.Errorf("cannot make the table of decisions: %w", err)
		}
	}
	if id == "" {
		insertErr := db.exec(ctx, db.insert(identityKey, rand.Text()))
		if id, err = db.outcome(ctx, identityKey); err != nil || id == "" {
			return fmt.Errorf("cannot write to the table of decisions: %w",
				errors.Join(insertErr, err))
		}
	}
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	if db.table, err = db.dialect.qualify(ctx, conn, db.table); err != nil {
		return err
	}
	db.id = id
	return nil
}

// RecorderID returns the ID that the table holds. A copy of the whole database has the same ID:
// never use both in one program. It is empty if nothing is recorded.
func (db *DB) RecorderID() string { return db.id }

// Decided reports whether the transaction with that id has a record of its commit. See
// recovery.Recorder.
func (db *DB) Decided(ctx context.Context, id string) (bool, error) {
	return db.ask(ctx, id, db.outcome)
}

// Settle is Decided with a final answer: if the transaction has no record, Settle makes one that
// says aborted. It waits for a running commit of the transaction, as long as ctx allows. See
// recovery.Recorder.
func (db *DB) Settle(ctx context.Context, id string) (bool, error) {
	return db.ask(ctx, id, db.settle)
}

func (db *DB) settle(ctx context.Context, id string) (string, error) {
	outcome, err := db.outcome(ctx, id)
	if err != nil || outcome != "" {
		return outcome, err
	}
	insertErr := db.exec(ctx, db.insert(id, aborted))
	failpoint.Here("sqltx: outcome settled")
	if insertErr == nil {
		return aborted, nil
	}
	// The commit, or another call of Settle, came first; or the answer was lost.
	if outcome, err = db.outcome(ctx, id); err == nil && outcome == "" {
		err = insertErr
	}
	return outcome, err
}

// ask returns whether find, which looks for the outcome of a transaction, has found a commit.
func (db *DB) ask(ctx context.Context, id string,
	find func(ctx context.Context, id string) (outcome string, err error),
) (bool, error) {
	switch {
	case db.id == "":
		return false, db.named(errors.New("no decisions are recorded here"))
	case !validID.MatchString(id):
		return false, db.named(fmt.Errorf(
			"%q is no id of a transaction: want up to 64 letters and digits", id))
	}
	var outcome string
	err := db.retry(ctx, func(ctx context.Context) (err error) {
		outcome, err = find(ctx, id)
		return err
	})
	if err != nil {
		return false, db.named(fmt.Errorf("transaction %s: %w", id, err))
	}
	return outcome == committed, nil
}

var validID = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// forgetAtOnce is the number of records that one statement deletes. They are not deleted together
// with the next decision: it could then conflict with that of another process.
const forgetAtOnce = 100

// forget queues a decision record for batched deletion.
func (db *DB) forget(ctx context.Context, id string) error {
	db.mu.Lock()
	db.forgotten = append(db.forgotten, id)
	due := len(db.forgotten)%forgetAtOnce == 0
	db.mu.Unlock()
	if !due {
		return nil
	}
	return db.deleteForgotten(ctx)
}

// deleteForgotten deletes the queued records. After a failure the next call tries again.
func (db *DB) deleteForgotten(ctx context.Context) error {
	db.mu.Lock()
	ids := db.forgotten
	db.forgotten = nil
	db.mu.Unlock()
	for len(ids) > 0 {
		some := ids[:min(len(ids), forgetAtOnce)]
		conditions := make([]string, len(some))
		for i, id := range some {
			conditions[i] = db.dialect.isID(id)
		}
		query := "DELETE FROM " + db.table + " WHERE " + strings.Join(conditions, " OR ")
		if err := db.exec(ctx, query); err != nil {
			db.mu.Lock()
			db.forgotten = append(db.forgotten, ids...)
			db.mu.Unlock()
			return err
		}
		ids = ids[len(some):]
	}
	return nil
}
