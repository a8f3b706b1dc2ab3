package postgres_test

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// Writes to a bucket and of the app's own SQL are committed together. (The example is only
// compiled, because it needs a server.)
func ExampleTx() { //nolint:testableexamples // it needs a server
	ctx := context.Background()
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	err = transaction.Run(ctx, func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		if err := tx.Bucket("seen").Put([]byte("order 7"), []byte{}); err != nil {
			return err
		}
		var sql pgx.Tx
		if sql, err = postgres.Tx(ctx, db); err != nil {
			return err
		}
		_, err = sql.Exec(ctx, "UPDATE orders SET state = 'seen' WHERE id = $1", 7)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
}

// A URI is checked before the database is opened. The error says how to correct it, and shows no
// password.
func ExampleRegister() {
	opener := storage.NewOpener()
	postgres.Register(opener)
	_, err := opener.Open(context.Background(),
		"postgres://site:secret@localhost/site?table_prefix=My-Tables")
	fmt.Println(err)
	// Output:
	// storage: postgres://***@localhost/site?table_prefix=My-Tables: table_prefix=My-Tables: want small letters, digits and _, such as site_
}
