package memory_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	db := memory.New("scratch")
	defer db.Close()
	err := transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		b := tx.Bucket("greetings")
		if err := b.Put([]byte("de"), []byte("hallo")); err != nil {
			return err
		}
		value, err := b.Get([]byte("de"))
		fmt.Printf("%s says %s\n", db.Name(), value)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: memory://scratch says hallo
}
