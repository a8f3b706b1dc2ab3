package observe_test

import (
	"context"
	"fmt"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// A printer is a listener that is told of requests and of their keys.
type printer struct{}

func (printer) RequestStart(ctx context.Context, f observe.RequestStart) context.Context {
	fmt.Println(f.ID, f.Method, f.Path)
	return ctx
}

func (printer) RequestEnd(_ context.Context, f observe.RequestEnd) { fmt.Println(f.Status) }

func (printer) Accessed(_ context.Context, f observe.Access) {
	fmt.Println(f.Operation, f.Bucket, f.Key)
}

func (printer) Conflicted(_ context.Context, f observe.Conflict) {
	fmt.Println("lost over", f.Bucket, f.Key, "to", f.With)
}

func (printer) Queued(context.Context, observe.Queue)  {}
func (printer) Grouped(context.Context, observe.Group) {}

// A job whose transaction is observed.
func Example() {
	db := memory.New("example")
	defer db.Close()
	job := observe.NewJob("restock", observe.NewListeners(printer{}))
	ctx := observe.NewContext(context.Background(), job)
	err := transaction.Run(ctx, func(ctx context.Context) error {
		stock, err := db.Bucket(ctx, "stock")
		if err != nil {
			return err
		}
		return stock.Put([]byte("apples"), []byte("12"))
	})
	fmt.Println(err)
	// Output:
	// put stock apples
	// <nil>
}
