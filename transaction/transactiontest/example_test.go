package transactiontest_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// Every operation of the table is run like this, beside every other, while the transaction ends.
func Example() {
	ctx, txn := transaction.Begin(context.Background())
	var group sync.WaitGroup
	for _, op := range transactiontest.Transaction(func(t *transaction.Txn) *transaction.Txn { return t }) {
		group.Go(func() { _ = op.Do(txn) })
	}
	group.Wait()
	_ = txn.Abort(ctx)
	fmt.Println(txn.Join(nil) != nil, txn.Hold() != nil)
	// Output:
	// true true
}
