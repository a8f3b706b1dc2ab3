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

	"github.com/pasteline/pasteline/internal/crashpoint"
)

// The table has a row for every commit that somebody may ask about, and for every one that recovery has ruled out. Its SQL is what all
// databases have in common. All values are written into the statements, because the signs for parameters aren't common; they are
// letters, digits and hyphens.

// What a row says of a transaction.
const (
	committed = "committed"
	aborted   = "aborted"
)

// identityKey is the row whose outcome is the DeciderID. Ids of transactions have no hyphen.
const identityKey = "decider-id"

// errGivenUp is the error of a commit that would decide over others, too late.
var errGivenUp = errors.New("recovery took the transaction for lost and aborted it: what others had prepared is gone")

func (db *DB) createTable() string {
	return "CREATE TABLE " + db.table +
		" (id VARCHAR(64) NOT NULL PRIMARY KEY, outcome VARCHAR(64) NOT NULL, decided_at BIGINT NOT NULL)"
}

func (db *DB) insert(id, outcome string) string {
	return fmt.Sprintf("INSERT INTO %s (id, outcome, decided_at) VALUES ('%s', '%s', %d)",
		db.table, id, outcome, time.Now().Unix())
}

// own runs f in a transaction of this package's own. It is an explicit one because a pool may have connections that don't
// commit by themselves, and would go on to show what was there at their first statement.
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

// outcome returns what the row of that id says, or "" if there is none.
func (db *DB) outcome(ctx context.Context, id string) (outcome string, err error) {
	err = db.own(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT outcome FROM "+db.table+" WHERE "+db.dialect.isID(id)).Scan(&outcome)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return outcome, err
}

// prepareTable makes the table and its first row, unless they are there. If another process makes them at the same time one of the two
// fails, in a way that depends on the database: so what counts is whether they are there afterwards.
func (db *DB) prepareTable(ctx context.Context) error {
	id, err := db.outcome(ctx, identityKey)
	if err != nil {
		createErr := db.exec(ctx, db.createTable())
		if id, err = db.outcome(ctx, identityKey); err != nil {
			if createErr != nil {
				err = createErr // it says more: why there is no table, or that there is no database
			}
			return fmt.Errorf("cannot make the table of decisions: %w", err)
		}
	}
	if id == "" {
		insertErr := db.exec(ctx, db.insert(identityKey, rand.Text()))
		if id, err = db.outcome(ctx, identityKey); err != nil || id == "" {
			return fmt.Errorf("cannot write to the table of decisions: %w", errors.Join(insertErr, err))
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

// DeciderID is kept in the table, so a copy of the whole database has the same: never let both be used by one program. It is empty if
// nothing is recorded.
func (db *DB) DeciderID() string { return db.id }

// Decided reports whether there is a record that the transaction was committed. See recovery.Decider.
func (db *DB) Decided(ctx context.Context, transaction string) (bool, error) {
	return db.ask(ctx, transaction, func(ctx context.Context) (string, error) { return db.outcome(ctx, transaction) })
}

// Settle reports whether the transaction was committed, and if there is no record of that makes one that it never will be. A commit of it
// that is under way is waited for; ctx says how long. See recovery.Decider.
func (db *DB) Settle(ctx context.Context, transaction string) (bool, error) {
	return db.ask(ctx, transaction, func(ctx context.Context) (string, error) { return db.settle(ctx, transaction) })
}

func (db *DB) settle(ctx context.Context, id string) (string, error) {
	outcome, err := db.outcome(ctx, id)
	if err != nil || outcome != "" {
		return outcome, err
	}
	insertErr := db.exec(ctx, db.insert(id, aborted))
	crashpoint.Here("sqltx: outcome settled")
	if insertErr == nil {
		return aborted, nil
	}
	// The commit came first, or somebody else who settles; or the answer was lost.
	if outcome, err = db.outcome(ctx, id); err == nil && outcome == "" {
		err = insertErr
	}
	return outcome, err
}

func (db *DB) ask(ctx context.Context, id string, f func(context.Context) (outcome string, err error)) (bool, error) {
	switch {
	case db.id == "":
		return false, db.named(errors.New("no decisions are recorded here"))
	case !validID.MatchString(id):
		return false, db.named(fmt.Errorf("%q is no id of a transaction: want up to 64 letters and digits", id))
	}
	var outcome string
	err := db.retry(ctx, func(ctx context.Context) (err error) {
		outcome, err = f(ctx)
		return err
	})
	if err != nil {
		return false, db.named(fmt.Errorf("transaction %s: %w", id, err))
	}
	return outcome == committed, nil
}

var validID = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// forgetAtOnce is how many records are deleted by one statement. They don't go with the next decision: there they could make it conflict
// with that of another process.
const forgetAtOnce = 100

// forget deletes the record of a transaction that nobody will ask about, some time.
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

// deleteForgotten tries again the next time if it fails.
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
