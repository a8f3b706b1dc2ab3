package resource_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A queue is the resource: messages that other programs read.
type queue struct{ messages []string }

// Put adds a message to the queue when the transaction of ctx commits.
func (q *queue) Put(ctx context.Context, message string) error {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return transaction.ErrNoTransaction
	}
	first := &puts{queue: q}
	joined, err := t.JoinAs(q, first, first)
	if err != nil {
		return err
	}
	p := joined.(*puts)
	p.messages = append(p.messages, message)
	return nil
}

// puts is the data manager of a queue: the messages of one transaction.
type puts struct {
	queue    *queue
	messages []string
}

func (p *puts) SortKey() string { return "queue" }

func (p *puts) Commit(context.Context, resource.Txn) error {
	p.queue.messages = append(p.queue.messages, p.messages...)
	return nil
}

func (p *puts) Abort(context.Context, resource.Txn) error {
	p.messages = nil
	return nil
}

// A data manager buffers the changes of one transaction, and joins on first use.
func Example() {
	orders := &queue{}
	order := func(what string, stock int) error {
		return transaction.Run(context.Background(), func(ctx context.Context) error {
			if err := orders.Put(ctx, what); err != nil {
				return err
			}
			if stock == 0 {
				return errors.New(what + " is sold out")
			}
			return nil
		})
	}
	fmt.Println(order("tea", 3), order("coffee", 0))
	fmt.Println(orders.messages)
	// Output:
	// <nil> coffee is sold out
	// [tea]
}
