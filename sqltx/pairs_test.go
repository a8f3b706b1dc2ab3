package sqltx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// A leftOver is a transaction that two goroutines use while another ends it.
type leftOver struct {
	e         *env
	ctx       context.Context
	txn       *transaction.Txn
	tx        *sqltx.Tx
	stmt      *sql.Stmt // nil if the goroutines are the first to use the database
	savepoint *transaction.Savepoint
	number    int64

	mu            sync.Mutex // guards the rest
	present, lost []int64    // rows whose INSERT was acknowledged, and refused
}

var leftOvers atomic.Int64

const (
	insertPair = "INSERT INTO pairs (txn, n) VALUES (?, ?)"
	countTo50  = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50) SELECT i FROM s"
)

func newLeftOver(tb testing.TB, e *env, fresh bool) *leftOver {
	tb.Helper()
	l := &leftOver{e: e, number: leftOvers.Add(1)}
	l.ctx, l.txn = transaction.Begin(context.Background())
	var err error
	if l.tx, err = e.db.Tx(l.ctx); err != nil {
		tb.Fatal(err)
	}
	if fresh {
		return l
	}
	if err := l.insert(); err != nil {
		tb.Fatal(err)
	}
	if l.stmt, err = l.tx.PrepareContext(l.ctx, e.sql(insertPair)); err != nil {
		tb.Fatal(err)
	}
	if l.savepoint, err = l.txn.Savepoint(); err != nil {
		tb.Fatal(err)
	}
	return l
}

// insert inserts a row of its own, and remembers whether that was acknowledged.
func (l *leftOver) insert() error {
	n := leftOvers.Add(1)
	_, err := l.tx.ExecContext(l.ctx, l.e.sql(insertPair), l.number, n)
	return l.note(n, err)
}

func (l *leftOver) note(n int64, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.present = append(l.present, n)
	} else {
		l.lost = append(l.lost, n)
	}
	return err
}

func (l *leftOver) insertPrepared() error {
	n := leftOvers.Add(1)
	stmt := l.stmt
	if stmt == nil {
		var err error
		if stmt, err = l.tx.PrepareContext(l.ctx, l.e.sql(insertPair)); err != nil {
			return err
		}
		defer stmt.Close()
	}
	_, err := stmt.ExecContext(l.ctx, l.number, n)
	return l.note(n, err)
}

// read reads all rows, of which there are 50 unless there is an error.
func (l *leftOver) read(body func() error) error {
	rows, err := l.tx.QueryContext(l.ctx, countTo50)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		if n%10 == 0 {
			if err := body(); err != nil {
				return err
			}
		}
		if _, err := fmt.Sscan(string(raw), new(int)); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != 50 {
		return fmt.Errorf("%d rows, and no error", n)
	}
	return nil
}

// check looks whether all that was acknowledged is there if the transaction was committed, and nothing otherwise.
func (l *leftOver) check(tb testing.TB, committed, undone bool) {
	tb.Helper()
	rows, err := l.e.pool.QueryContext(tb.Context(), l.e.sql("SELECT n FROM pairs WHERE txn = ?"), l.number)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	there := map[int64]bool{}
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			tb.Fatal(err)
		}
		there[n] = true
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	if !committed && len(there) > 0 {
		tb.Errorf("not committed, and there are %d rows", len(there))
	}
	for _, n := range l.lost {
		if there[n] {
			tb.Errorf("an INSERT was refused, and yet its row is there")
		}
	}
	for _, n := range l.present {
		if committed && !undone && !there[n] {
			tb.Errorf("an INSERT was acknowledged and committed, and its row is missing")
		}
	}
}

func leftOverOperations(all bool) []transactiontest.Operation[*leftOver] {
	type op = transactiontest.Operation[*leftOver]
	nothing := func() error { return nil }
	ops := []op{
		{Name: "DB.Tx", Do: func(l *leftOver) error { _, err := l.e.db.Tx(l.ctx); return err }},
		{Name: "Exec", Do: (*leftOver).insert},
		{Name: "Stmt.Exec", Do: (*leftOver).insertPrepared},
		{Name: "Query", Do: func(l *leftOver) error { return l.read(nothing) }},
		{Name: "Query with Exec in it", Do: func(l *leftOver) error { return l.read(l.insert) }},
		{Name: "Query with Commit in it", Do: func(l *leftOver) error {
			return l.read(func() error { return l.txn.Commit(context.Background()) })
		}},
		{Name: "QueryRow", Do: func(l *leftOver) error {
			var n int
			return l.tx.QueryRowContext(l.ctx, countTo50).Scan(&n)
		}},
		{Name: "rows that stay open", Do: func(l *leftOver) error {
			rows, err := l.tx.QueryContext(l.ctx, countTo50) //nolint:sqlclosecheck // that is the case
			if err != nil {
				return err
			}
			if rows.Next() {
				err = rows.Scan(new(sql.RawBytes))
			}
			return errors.Join(err, rows.Err())
		}},
		{Name: "Prepare", Do: func(l *leftOver) error {
			stmt, err := l.tx.PrepareContext(l.ctx, countTo50)
			if err != nil {
				return err
			}
			rows, err := stmt.QueryContext(l.ctx)
			if err == nil {
				rows.Next()
				err = errors.Join(rows.Err(), rows.Close())
			}
			return errors.Join(err, stmt.Close())
		}},
		{Name: "savepoints of SQL", Do: func(l *leftOver) error {
			name := fmt.Sprintf("mine_%d", leftOvers.Add(1))
			for _, query := range []string{"SAVEPOINT " + name, "ROLLBACK TO SAVEPOINT " + name} {
				if _, err := l.tx.ExecContext(l.ctx, query); err != nil {
					return err
				}
			}
			return nil
		}},
		{Name: "Rollback of an earlier savepoint", Do: func(l *leftOver) error {
			if l.savepoint == nil {
				return nil
			}
			return l.savepoint.Rollback()
		}},
	}
	for _, op := range transactiontest.Transaction(func(l *leftOver) *transaction.Txn { return l.txn }) {
		if all || op.Name == "Commit" || op.Name == "Savepoint" {
			ops = append(ops, op)
		}
	}
	return ops
}

// Whatever two goroutines do in a transaction while another ends it, each statement, and each reading of rows, counts
// whole or is refused, and no connection stays in use.
func TestAllPairs(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		if _, err := e.pool.ExecContext(e.t.Context(), "CREATE TABLE pairs (txn BIGINT NOT NULL, n BIGINT NOT NULL)"); err != nil {
			e.t.Fatal(err)
		}
		for _, fresh := range []bool{false, true} {
			if fresh && e.driver != "sqlite" { // it is all the same there
				continue
			}
			e.t.Run(fmt.Sprintf("fresh=%t", fresh), func(t *testing.T) {
				transactiontest.Pairs(t, transactiontest.Config[*leftOver]{
					Rounds:     2,
					Operations: leftOverOperations(e.driver == "sqlite"),
					Begin: func(tb testing.TB) (*leftOver, *transaction.Txn) {
						tb.Helper()
						l := newLeftOver(tb, e, fresh)
						return l, l.txn
					},
					Refused: refuses,
					Check: func(tb testing.TB, l *leftOver, committed bool, a, b string) {
						tb.Helper()
						l.check(tb, committed, strings.Contains(strings.ToLower(a+b), "rollback") || strings.Contains(a+b, "savepoints"))
					},
				})
			})
		}
	}, "sqlite", "postgres", "mariadb")
}

// refuses reports whether a statement may fail with err: while rows of another are open, or because a rollback has taken
// its savepoint with it, which fails the transaction of PostgreSQL.
func refuses(err error) bool {
	if errors.Is(err, transaction.ErrDoomed) || errors.Is(err, transaction.ErrInvalidSavepoint) {
		return true
	}
	return slices.ContainsFunc([]string{
		"are still open", "closed by the rollback", "an earlier statement has failed", "no such savepoint", "SAVEPOINT mine", "mine_",
	}, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// Once data managers are told of the end, it is too late for a first statement: this one has been taken for one that has
// nothing to write, and would be committed whatever becomes of the others.
func TestStatementDuringTheCommit(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		ctx, txn := transaction.Begin(t.Context())
		defer func() { _ = txn.Abort(ctx) }()
		tx := e.tx(t, ctx)
		late := &lateUser{use: func() error { _, err := tx.ExecContext(ctx, "UPDATE counter SET n = 1"); return err }}
		if err := txn.Join(late); err != nil {
			t.Fatal(err)
		}
		if err := txn.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(late.err, transaction.ErrEnded) {
			t.Errorf("a statement during the commit: got %v, want %v", late.err, transaction.ErrEnded)
		}
		e.want(t, "a", 0)
	}, "sqlite")
}

// A lateUser is a data manager that is told before others, and does what a goroutine could do that is left over.
type lateUser struct {
	use func() error
	err error
}

func (*lateUser) SortKey() string { return "" }
func (*lateUser) ReadOnly() bool  { return true }
func (l *lateUser) Commit(context.Context, resource.Txn) error {
	l.err = l.use()
	return nil
}
func (*lateUser) Abort(context.Context, resource.Txn) error { return nil }

// Rows that were not read to their end when the transaction ended don't look as if they were.
func TestRowsAfterTheEnd(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		for _, end := range []func(*transaction.Txn, context.Context) error{(*transaction.Txn).Commit, (*transaction.Txn).Abort} {
			ctx, txn := transaction.Begin(e.t.Context())
			rows, err := e.tx(e.t, ctx).QueryContext(ctx, countTo50)
			if err != nil || !rows.Next() {
				e.t.Fatal(err)
			}
			if err := end(txn, ctx); err != nil {
				e.t.Fatal(err)
			}
			if rows.Next() || !errors.Is(rows.Err(), transaction.ErrEnded) {
				e.t.Errorf("rows after the end: got %v, want %v", rows.Err(), transaction.ErrEnded)
			}
			if err := rows.Close(); err != nil {
				e.t.Error(err)
			}
		}
	})
}
