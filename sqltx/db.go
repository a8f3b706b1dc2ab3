package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/transaction"
)

var errClosed = errors.New("is closed")

// Options are the settings of a [DB]. The zero Options are a good choice.
type Options struct {
	// Name is what errors and logs call the database, and the second part of the data manager's sort key, after "sql:". There must be
	// no secret in it. Empty means "sql".
	Name string

	// Isolation is the level of every transaction. The zero value is not the driver's default but [sql.LevelSerializable]: only with
	// that one nothing is lost, whatever runs at once. A weaker one makes that the app's own business.
	Isolation sql.IsolationLevel

	// ReadOnly makes every transaction a read-only one, so that it needs no part in a two-phase commit: other databases, which can't
	// prepare either, may be written to in the same transaction. Nothing is recorded, no table is made. The server has to refuse writes;
	// SQLite does only if the database is opened with query_only (see the package comment), which New makes sure of.
	ReadOnly bool

	// Decisions says which commits are recorded.
	Decisions Decisions

	// Table is where they are recorded: a name that needs no quotes, with that of its schema before it if you like. Empty means
	// "pasteline_decided".
	Table string

	// Timeout is how long an end of a transaction may take, and anything else for which there is no context of a caller: a savepoint, a
	// look at the records. Zero means 30 s. A driver that ignores the context of a COMMIT, as MySQL's does, needs a time-out of its
	// own besides (readTimeout).
	Timeout time.Duration

	// Transient says, of errors of drivers that this package doesn't know, which are worth another attempt. Of an error that it says yes
	// to, it is believed that the database refused: nothing has been committed. Nil means none.
	Transient func(error) bool
}

// Decisions says which commits leave a record in the database, with the same commit.
type Decisions int

const (
	// DecideForOthers is the default: a commit is recorded if others in the transaction have prepared, for they depend on it.
	DecideForOthers Decisions = iota

	// DecideAlways records every commit. It costs a round trip, and for that the outcome is found out of a commit whose answer was lost,
	// as soon as the database can be reached. Otherwise such a commit is in doubt.
	DecideAlways

	// DecideNever records nothing and makes no table. A crash between the commit and its end in the others leaves them without an
	// answer, and they roll back: two-phase commit is then only safe as long as nobody crashes.
	DecideNever
)

func (o *Options) complete() error {
	if o.Name == "" {
		o.Name = "sql"
	}
	if o.Isolation == sql.LevelDefault {
		o.Isolation = sql.LevelSerializable
	}
	if o.Table == "" {
		o.Table = "pasteline_decided"
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.ReadOnly {
		o.Decisions = DecideNever
	}
	switch {
	case !tableName.MatchString(o.Table):
		return fmt.Errorf("table %q: want a name of letters, digits and _, or schema.name", o.Table)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %s: want more than 0, or 0 for 30s", o.Timeout)
	case o.Decisions < DecideForOthers || o.Decisions > DecideNever:
		return fmt.Errorf("decisions %d: want DecideForOthers, DecideAlways or DecideNever", o.Decisions)
	}
	return nil
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// A DB lets transactions use an SQL database. It is safe for concurrent use by multiple goroutines.
//
// It is also a recovery.Decider, to be added to a recovery.Set.
type DB struct {
	sql     *sql.DB
	options Options
	dialect dialect
	table   string // of the decisions, with its schema
	id      string // DeciderID
	closed  atomic.Bool

	mu        sync.Mutex // guards forgotten
	forgotten []string
}

// New makes a DB of one that the caller has opened, and closes in the end. One [sql.DB] should have one DB: two are, to a transaction,
// two databases, and it can't write to both.
//
// It connects, so the database has to be up; and unless nothing is to be recorded it makes the table for that, if there is none. Any number of
// processes may do so at once. Who is not allowed to make tables finds the statement for it in the package comment.
func New(ctx context.Context, db *sql.DB, options Options) (*DB, error) {
	if err := options.complete(); err != nil {
		return nil, fmt.Errorf("sqltx: %w", err)
	}
	d := &DB{sql: db, options: options, table: options.Table}
	if err := d.retry(ctx, d.meet); err != nil {
		return nil, d.named(err)
	}
	if options.Decisions != DecideNever {
		if err := d.retry(ctx, d.prepareTable); err != nil {
			return nil, d.named(err)
		}
	}
	if err := d.retry(ctx, d.tryOptions); err != nil {
		return nil, d.named(err)
	}
	return d, nil
}

// meet finds out what kind of database it is.
func (db *DB) meet(ctx context.Context) error {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	db.dialect, err = findDialect(ctx, conn)
	return err
}

// tryOptions finds out whether the driver can do what is asked of it: better now than in the middle of a request.
func (db *DB) tryOptions(ctx context.Context) error {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	tx, err := conn.BeginTx(ctx, db.txOptions())
	if err != nil {
		return fmt.Errorf("cannot begin a transaction (isolation %s, read-only %t): %w", db.options.Isolation, db.options.ReadOnly, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was done
	if !db.options.ReadOnly || db.dialect.text != sqltext.SQLite {
		return nil
	}
	var queryOnly bool
	if err := tx.QueryRowContext(ctx, "PRAGMA query_only").Scan(&queryOnly); err != nil {
		return err
	}
	if !queryOnly {
		return errors.New("SQLite does not refuse writes in a read-only transaction: " +
			"open the database with _pragma=query_only(1) (modernc.org/sqlite) or _query_only=1 (mattn/go-sqlite3)")
	}
	return nil
}

func (db *DB) txOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: db.options.Isolation, ReadOnly: db.options.ReadOnly}
}

// Name returns what errors call the database.
func (db *DB) Name() string { return db.options.Name }

// Tx returns the part that the transaction of ctx has in the database. The first call in a transaction joins it; later ones return the
// same Tx. A connection is taken by the first statement. Errors: [transaction.ErrNoTransaction], [transaction.ErrEnded],
// [transaction.ErrCommitFailed], wrapped.
func (db *DB) Tx(ctx context.Context) (*Tx, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, db.named(fmt.Errorf("%w: put the filter \"egg:repoze.tm2#tm\" before the app, or use transaction.Run", transaction.ErrNoTransaction))
	}
	if tx, ok := t.Data(db).(*Tx); ok {
		return tx, tx.check()
	}
	if db.closed.Load() {
		return nil, db.named(errClosed)
	}
	own := &Tx{db: db, txn: t}
	first, err := t.JoinAs(db, own, (*dataManager)(own))
	if err != nil {
		return nil, db.named(err)
	}
	if tx, ok := first.(*Tx); ok && tx != own { // of another goroutine
		return tx, tx.check()
	}
	return own, nil
}

// Close deletes what records are not needed any more. New transactions are refused from then on; those under way go on. The
// [sql.DB] stays open: close it afterwards. A second call does nothing.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), db.options.Timeout)
	defer cancel()
	if err := db.deleteForgotten(ctx); err != nil {
		return db.named(fmt.Errorf("records of commits stay, which costs a few bytes each: %w", err))
	}
	return nil
}

// named adds the database's name.
func (db *DB) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqltx: %s: %w", db.options.Name, err)
}

// judge is the package's, and what the caller knows besides.
func (db *DB) judge(err error) verdict {
	v := judge(err)
	if !v.transient && db.options.Transient != nil && db.options.Transient(err) {
		return verdict{said: true, transient: true}
	}
	return v
}

// retry is for statements of this package's own, each a transaction by itself, that may be repeated.
func (db *DB) retry(ctx context.Context, f func(context.Context) error) error {
	attempts := transaction.Policy{
		Tries: 10, Delay: 10 * time.Millisecond, MaxDelay: time.Second, Jitter: 0.5,
		Retryable: func(err error) bool { return db.judge(err).transient || lost(err) },
	}.Attempts(ctx)
	defer attempts.End()
	for {
		err := f(ctx)
		if !attempts.Again(err) {
			return err
		}
	}
}
