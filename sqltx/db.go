package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/internal/sqltext"
	"github.com/pasteline/pasteline/transaction"
)

var errClosed = errors.New("is closed")

// Options are the settings of a [DB]. The zero Options suit most programs.
type Options struct {
	// Name identifies the database in errors and logs, and is the second part of the data manager's
	// sort key, after "sql:". It must not contain a secret. Empty means "sql".
	Name string

	// Isolation is the level of every transaction. The zero value means [sql.LevelSerializable],
	// not the driver's default: only at that level is no update lost, whatever runs concurrently.
	// With a weaker one, the app is responsible for that.
	Isolation sql.IsolationLevel

	// ReadOnly makes every transaction read-only. It then needs no part in a two-phase commit, so
	// another database that can't prepare either may be written to in the same transaction. Nothing
	// is recorded, and no table is created. The server has to refuse writes; SQLite does so only if
	// the database is opened with query_only (see the package comment), which New checks.
	ReadOnly bool

	// Decisions says which commits are recorded.
	Decisions Decisions

	// Table is the table of the records: a name that needs no quotes, optionally with its schema.
	// Empty means "pasteline_decided".
	Table string

	// Timeout limits the end of a transaction, and every other operation without a caller's
	// context, such as a savepoint or a look-up of a record. Zero means 30 s, a negative
	// number no limit. A driver that ignores the context of a COMMIT, as MySQL's does, needs a
	// time-out of its own (readTimeout).
	Timeout time.Duration

	// Transient reports whether an error of a driver that this package doesn't know is worth
	// another attempt. If so, the database is taken to have refused the operation: nothing was
	// committed. Nil means that no such error is.
	Transient func(error) bool
}

// Decisions says which commits leave a record in the database, as part of the same commit.
type Decisions int

const (
	// DecideForOthers is the default: a commit is recorded if other data managers of the
	// transaction have prepared work, because that depends on it.
	DecideForOthers Decisions = iota

	// DecideAlways records every commit. It costs a round trip. In return, if the answer of a
	// commit is lost, its outcome is found out as soon as the database can be reached; otherwise
	// such a commit is in doubt.
	DecideAlways

	// DecideNever records nothing and creates no table. After a crash between the commit and the
	// end of the transaction in the other databases, those roll back: two-phase commit is then safe
	// only without crashes.
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
	switch {
	case o.Timeout == 0:
		o.Timeout = 30 * time.Second
	case o.Timeout < 0:
		o.Timeout = math.MaxInt64
	}
	if o.ReadOnly {
		o.Decisions = DecideNever
	}
	switch {
	case !tableName.MatchString(o.Table):
		return fmt.Errorf("table %q: want a name of letters, digits and _, or schema.name", o.Table)
	case o.Decisions < DecideForOthers || o.Decisions > DecideNever:
		return fmt.Errorf("decisions %d: want DecideForOthers, DecideAlways or DecideNever",
			o.Decisions)
	}
	return nil
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// A DB lets transactions use an SQL database. It is safe for concurrent use by multiple goroutines.
//
// It is also a recovery.Recorder, to be added to a recovery.Set.
type DB struct {
	sql     *sql.DB
	options Options
	dialect dialect
	table   string // the table of decisions, with its schema
	id      string // RecorderID
	closed  atomic.Bool

	mu        sync.Mutex // guards forgotten
	forgotten []string
}

// New returns a DB of pool, which the caller has opened and has to close. Make only one DB of an
// [sql.DB]: to a transaction, two would be two databases, and it can't write to both.
//
// New connects, so the database has to be up. Unless nothing is to be recorded, it creates the
// table of decisions if that does not exist. Any number of processes may do so at once. If the
// database user may not create tables, create it with the statement in the package comment.
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

// meet finds out the kind of the database.
func (db *DB) meet(ctx context.Context) error {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	db.dialect, err = findDialect(ctx, conn)
	return err
}

// tryOptions checks that the driver supports the options, so that New fails rather than a later
// request.
func (db *DB) tryOptions(ctx context.Context) error {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	tx, err := conn.BeginTx(ctx, db.txOptions())
	if err != nil {
		return fmt.Errorf("cannot begin a transaction (isolation %s, read-only %t): %w",
			db.options.Isolation, db.options.ReadOnly, err)
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
			"open the database with _pragma=query_only(1) (modernc.org/sqlite) or _query_only=1 " +
			"(mattn/go-sqlite3)")
	}
	return nil
}

func (db *DB) txOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: db.options.Isolation, ReadOnly: db.options.ReadOnly}
}

// Name returns the name of the database in errors.
func (db *DB) Name() string { return db.options.Name }

// Tx returns the part of the transaction of ctx in the database. The first call in a transaction
// joins it; later calls return the same Tx. The first statement takes a connection. Errors:
// [transaction.ErrNoTransaction], [transaction.ErrEnded], [transaction.ErrCommitFailed], wrapped.
func (db *DB) Tx(ctx context.Context) (*Tx, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, db.named(fmt.Errorf("%w: put the filter \"egg:repoze.tm2#tm\" before the "+
			"app, or use transaction.Run", transaction.ErrNoTransaction))
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
	if tx, ok := first.(*Tx); ok && tx != own { // another goroutine was first
		return tx, tx.check()
	}
	return own, nil
}

// Close deletes records that are no longer needed. Later transactions are refused; running ones
// continue. The [sql.DB] stays open: close it afterwards. Further calls do nothing.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), db.options.Timeout)
	defer cancel()
	if err := db.deleteForgotten(ctx); err != nil {
		return db.named(fmt.Errorf("records of commits stay, which costs a few bytes each: %w",
			err))
	}
	return nil
}

// named adds the database's name to err.
func (db *DB) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqltx: %s: %w", db.options.Name, err)
}

// classify classifies an error, with the help of Options.Transient.
func (db *DB) classify(err error) errorClass {
	v := classify(err)
	if !v.transient && db.options.Transient != nil && db.options.Transient(err) {
		return errorClass{answered: true, transient: true}
	}
	return v
}

// retry runs a statement of this package, a transaction of its own, that may be repeated.
func (db *DB) retry(ctx context.Context, f func(context.Context) error) error {
	attempts := transaction.Policy{
		Tries: 10, Delay: 10 * time.Millisecond, MaxDelay: time.Second, Jitter: 0.5,
		Retryable: func(err error) bool { return db.classify(err).transient || lost(err) },
	}.Attempts(ctx)
	defer attempts.End()
	for {
		err := f(ctx)
		if !attempts.Again(err) {
			return err
		}
	}
}
