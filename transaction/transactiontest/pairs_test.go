package transactiontest_test

import (
	"context"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// A transaction without a data manager, or with those that its left over goroutines join, ends
// once, and whole.
func TestPairs(t *testing.T) {
	t.Parallel()
	transactiontest.Pairs(t, transactiontest.Config[*transaction.Txn]{
		Begin: func(testing.TB) (*transaction.Txn, *transaction.Txn) {
			_, txn := transaction.Begin(context.Background())
			return txn, txn
		},
		Operations: transactiontest.Transaction(func(t *transaction.Txn) *transaction.Txn { return t }),
		Rounds:     40,
	})
}
