package bolt_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "data.db")

	for range 3 { // three runs of a program
		db, err := bolt.Open(path, nil)
		if err != nil {
			log.Fatal(err)
		}
		err = transaction.Run(context.Background(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			value, err := tx.Bucket("counters").Get([]byte("runs"))
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(string(value)) // 0 at first
			fmt.Println("run", n+1)
			return tx.Bucket("counters").Put([]byte("runs"), strconv.AppendInt(nil, int64(n+1), 10))
		})
		if err != nil {
			log.Fatal(err)
		}
		if err := db.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// run 1
	// run 2
	// run 3
}
