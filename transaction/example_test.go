package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// accounts is a small data manager: balances in memory, changed in a transaction.
type accounts struct {
	balances map[string]int
	changes  map[string]int // of the transaction, not yet made
}

// add changes a balance in the transaction of ctx.
func (a *accounts) add(ctx context.Context, name string, amount int) error {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return errors.New("accounts need a transaction; use transaction.Run or the tm filter")
	}
	if err := t.Join(a); err != nil {
		return err
	}
	if a.changes == nil {
		a.changes = map[string]int{}
	}
	a.changes[name] += amount
	return nil
}

func (a *accounts) SortKey() string { return "accounts" }

func (a *accounts) Commit(context.Context, resource.Txn) error {
	for name, amount := range a.changes {
		if a.balances[name]+amount < 0 {
			return fmt.Errorf("%s has only %d", name, a.balances[name])
		}
	}
	for name, amount := range a.changes {
		a.balances[name] += amount
	}
	a.changes = nil
	return nil
}

func (a *accounts) Abort(context.Context, resource.Txn) error {
	a.changes = nil
	return nil
}

func (a *accounts) Savepoint() (resource.Savepoint, error) {
	return &savedAccounts{a, maps.Clone(a.changes)}, nil
}

type savedAccounts struct {
	a       *accounts
	changes map[string]int
}

func (s *savedAccounts) Rollback() error {
	s.a.changes = maps.Clone(s.changes)
	return nil
}

// A job does its work in a function that takes the context. Either all of it is kept, or nothing.
func Example() {
	bank := &accounts{balances: map[string]int{"ann": 10}}
	transfer := func(amount int) error {
		return transaction.Run(context.Background(), func(ctx context.Context) error {
			if err := bank.add(ctx, "bob", amount); err != nil {
				return err
			}
			return bank.add(ctx, "ann", -amount)
		})
	}
	fmt.Println(transfer(7), bank.balances)
	fmt.Println(transfer(7), bank.balances)
	// Output:
	// <nil> map[ann:3 bob:7]
	// ann has only 3 map[ann:3 bob:7]
}

// What lost a race runs again from the start.
func ExampleRun() {
	race := 0
	err := transaction.Run(context.Background(), func(ctx context.Context) error {
		attempt, _ := transaction.AttemptFromContext(ctx)
		fmt.Printf("attempt %d of %d, last: %t\n", attempt.Number, attempt.Tries, attempt.Last())
		if race++; race < 3 {
			return transaction.Transient(errors.New("somebody was faster"))
		}
		return nil
	}, transaction.Policy{Tries: 5})
	fmt.Println(err)
	// Output:
	// attempt 1 of 5, last: false
	// attempt 2 of 5, last: false
	// attempt 3 of 5, last: false
	// <nil>
}

// What must not happen unless the work is kept, such as sending a mail, waits for the commit.
func ExampleTxn_AfterCommit() {
	ctx, t := transaction.Begin(context.Background())
	t.AfterCommit(func(_ context.Context, committed bool) {
		fmt.Println("committed:", committed)
	})
	t.BeforeCommit(func(context.Context) error {
		fmt.Println("about to commit, can still refuse")
		return nil
	})
	if err := t.Commit(ctx); err != nil {
		_ = t.Abort(ctx)
	}
	// Output:
	// about to commit, can still refuse
	// committed: true
}

// A part of the work is undone, the rest is kept.
func ExampleTxn_Savepoint() {
	bank := &accounts{balances: map[string]int{"ann": 10}}
	err := transaction.Run(context.Background(), func(ctx context.Context) error {
		t, _ := transaction.FromContext(ctx)
		if err := bank.add(ctx, "ann", 1); err != nil {
			return err
		}
		before, err := t.Savepoint()
		if err != nil {
			return err
		}
		if err := bank.add(ctx, "ann", 1000); err != nil {
			return err
		}
		return before.Rollback() // the thousand was a mistake
	})
	fmt.Println(err, bank.balances)
	// Output: <nil> map[ann:11]
}

// The loop of Run, for work that isn't a transaction of its own.
func ExamplePolicy_Attempts() {
	attempts := transaction.Policy{Tries: 2}.Attempts(context.Background())
	defer attempts.End()
	for {
		err := transaction.Transient(errors.New("busy"))
		fmt.Println("tried:", err)
		if !attempts.Again(err) {
			break
		}
	}
	// Output:
	// tried: busy
	// tried: busy
}
