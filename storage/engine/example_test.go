package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// tracing is an engine that prints the writes of each commit of another.
type tracing struct{ engine.Engine }

func (t tracing) Begin(ctx context.Context) (engine.View, error) {
	v, err := t.Engine.Begin(ctx)
	return tracingView{v}, err
}

type tracingView struct{ engine.View }

func (v tracingView) Commit(ctx context.Context, c *engine.Changes) error {
	err := v.View.Commit(ctx, c)
	for _, w := range c.Writes {
		fmt.Printf("%s/%s = %s (%v)\n", w.Bucket, w.Key, w.Value, err)
	}
	return err
}

// An engine can wrap another one, here to print what is committed.
func Example() {
	db := storage.New("traced", tracing{memory.New("inner").Engine()})
	defer db.Close()

	err := transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return tx.Bucket("guestbook").Put([]byte("1"), []byte("hello"))
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: guestbook/1 = hello (<nil>)
}
