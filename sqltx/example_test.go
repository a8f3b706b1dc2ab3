package sqltx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

// Queries is what code made by sqlc looks like.
type Queries struct{ db DBTX }

type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (q *Queries) Take(ctx context.Context, item string) (left int, err error) {
	err = q.db.QueryRowContext(ctx, "UPDATE stock SET n = n - 1 WHERE item = ? RETURNING n", item).Scan(&left)
	return left, err
}

func Example() {
	ctx := context.Background()
	pool, err := sql.Open("sqlite", ":memory:") // for one connection only
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := pool.ExecContext(ctx, "CREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER); INSERT INTO stock VALUES ('pen', 3)"); err != nil {
		fmt.Println(err)
		return
	}
	db, err := sqltx.New(ctx, pool, sqltx.Options{Name: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	sell := func(fail error) error {
		return transaction.Run(ctx, func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			left, err := (&Queries{tx}).Take(ctx, "pen")
			fmt.Println("left:", left)
			return errors.Join(err, fail)
		})
	}
	fmt.Println(sell(errors.New("the card was declined")))
	fmt.Println(sell(nil))
	// Output:
	// left: 2
	// the card was declined
	// left: 2
	// <nil>
}
