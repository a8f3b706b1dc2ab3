package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// A leftOver is a transaction with the app's SQL that two goroutines use while a third one ends it.
type leftOver struct {
	db     *storage.DB
	ctx    context.Context
	txn    *transaction.Txn
	tx     pgx.Tx
	bucket storage.Bucket
	number int64
}

var leftOvers atomic.Int64

func (l *leftOver) insert() error {
	_, err := l.tx.Exec(l.ctx, "INSERT INTO pairs VALUES ($1)", l.number)
	return err
}

func readAll(rows pgx.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			return err
		}
		_ = rows.RawValues()
	}
	rows.Close()
	_ = rows.CommandTag()
	return rows.Err()
}

// Whatever two goroutines do with the app's SQL, with buckets and with the transaction while a
// third one ends it, each call takes effect whole or is refused, and no connection is kept.
func TestAllPairsOfSQL(t *testing.T) {
	t.Parallel()
	db := openDB(t, with(pgtest.Database(t), "pool_max_conns=3"))
	run := func(f func(ctx context.Context, tx pgx.Tx) error) {
		t.Helper()
		err := transaction.Run(context.Background(), func(ctx context.Context) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			return f(ctx, tx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	run(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "CREATE TABLE pairs (n bigint)")
		return err
	})
	const series = "SELECT generate_series(1, 100)"
	type op = transactiontest.Operation[*leftOver]
	ops := []op{
		{Name: "Tx", Do: func(l *leftOver) error {
			_,
				err := postgres.Tx(l.ctx, l.db)
			return err
		}},
		{Name: "Exec", Do: (*leftOver).insert},
		{Name: "Query", Do: func(l *leftOver) error { return readAll(l.tx.Query(l.ctx, series)) }},
		{Name: "QueryRow", Do: func(l *leftOver) error {
			var n int
			return l.tx.QueryRow(l.ctx, series).Scan(&n)
		}},
		{Name: "rows that stay open", Do: func(l *leftOver) error {
			rows, err := l.tx.Query(l.ctx, series)
			if err == nil {
				rows.Next()
			}
			return err
		}},
		{Name: "SendBatch", Do: func(l *leftOver) error {
			b := &pgx.Batch{}
			b.Queue(series).Query(func(rows pgx.Rows) error { return readAll(rows, nil) })
			b.Queue(series)
			return l.tx.SendBatch(l.ctx, b).Close()
		}},
		{Name: "a batch's results", Do: func(l *leftOver) error {
			b := &pgx.Batch{}
			b.Queue(series)
			results := l.tx.SendBatch(l.ctx, b)
			return errors.Join(readAll(results.Query()), results.Close())
		}},
		{Name: "CopyFrom", Do: func(l *leftOver) error {
			_, err := l.tx.CopyFrom(l.ctx, pgx.Identifier{"pairs"}, []string{"n"},
				pgx.CopyFromSlice(2, func(int) ([]any, error) {
					_ = l.bucket.Put([]byte("copied"), nil)
					return []any{-l.number}, nil
				}))
			return err
		}},
		{Name: "Begin", Do: func(l *leftOver) error {
			nested, err := l.tx.Begin(l.ctx)
			if err != nil {
				return err
			}
			return nested.Rollback(l.ctx)
		}},
		{Name: "Conn", Do: func(l *leftOver) error { _ = l.tx.Conn(); return nil }},
		{Name: "Get", Do: func(l *leftOver) error {
			_,
				err := l.bucket.Get([]byte("a"))
			return err
		}},
		{Name: "Put", Do: func(l *leftOver) error { return l.bucket.Put([]byte("a"), nil) }},
		{Name: "Items", Do: func(l *leftOver) error {
			_,
				err := l.bucket.Items(storage.Range{})
			return err
		}},
	}
	for _, op := range transactiontest.Transaction(func(l *leftOver) *transaction.Txn { return l.txn }) {
		if slices.Contains([]string{"Commit", "Abort", "Savepoint", "Rollback"}, op.Name) {
			ops = append(ops, op)
		}
	}
	transactiontest.Pairs(t, transactiontest.Config[*leftOver]{
		Rounds:     2,
		Operations: ops,
		Begin: func(tb testing.TB) (*leftOver, *transaction.Txn) {
			tb.Helper()
			l := &leftOver{db: db, number: leftOvers.Add(1)}
			l.ctx, l.txn = transaction.Begin(context.Background())
			tx, err := db.Tx(l.ctx)
			if err == nil {
				l.bucket = tx.Bucket("b")
				l.tx, err = postgres.Tx(l.ctx, db)
			}
			if err == nil {
				err = l.insert()
			}
			if err != nil {
				tb.Fatal(err)
			}
			return l, l.txn
		},
		// a connection runs one statement at a time, and a failed statement makes all later ones
		// fail
		Refused: func(err error) bool {
			_, server := errors.AsType[*pgconn.PgError](err)
			return server || errors.Is(err, pgx.ErrTxCommitRollback) ||
				strings.Contains(err.Error(), "conn busy") ||
				strings.Contains(err.Error(), "in use by the CopyFrom") ||
				strings.Contains(err.Error(), "failed earlier")
		},
		Check: func(tb testing.TB, l *leftOver, committed bool, _, _ string) {
			tb.Helper()
			n := 0
			run(func(ctx context.Context, tx pgx.Tx) error {
				return tx.QueryRow(ctx, "SELECT count(*) FROM pairs WHERE n = $1",
					l.number).Scan(&n)
			})
			if committed != (n > 0) {
				tb.Errorf("committed %t, and %d rows", committed, n)
			}
		},
	})
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	if err := <-closed; err != nil {
		t.Error(fmt.Errorf("close: %w", err))
	}
}
