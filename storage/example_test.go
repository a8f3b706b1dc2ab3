package storage_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	ctx := context.Background()
	opener := storage.NewOpener()
	memory.Register(opener)
	db, err := opener.Open(ctx, "memory://example")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	// In a request, filter tm runs the transaction; elsewhere:
	err = transaction.Run(ctx, func(ctx context.Context) error {
		book, err := db.Bucket(ctx, "guestbook")
		if err != nil {
			return err
		}
		for _, name := range []string{"ben", "ada", "cy"} {
			if err := book.Put([]byte(name), []byte("was here")); err != nil {
				return err
			}
		}
		for item, err := range book.Range(storage.Range{To: []byte("c")}) {
			if err != nil {
				return err
			}
			fmt.Printf("%s %s\n", item.Key, item.Value)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// ada was here
	// ben was here
}

// Of the keys that were read, only those that the result depends on must be unchanged at the
// commit.
func ExampleBucket_Snapshot() {
	db := memory.New("example")
	defer db.Close()
	err := transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		jobs := tx.Bucket("jobs")
		// Other transactions may take or add jobs; only this one must still exist.
		for item, err := range jobs.Snapshot().Range(storage.Prefix([]byte("waiting/"))) {
			if err != nil {
				return err
			}
			if err := jobs.AddReadConflict(item.Key); err != nil {
				return err
			}
			return jobs.Delete(item.Key)
		}
		fmt.Println("nothing to do")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: nothing to do
}
