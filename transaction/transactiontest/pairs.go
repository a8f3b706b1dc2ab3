// Package transactiontest tests that the end of a transaction is exclusive, whatever the goroutines
// of a request do meanwhile. It tests package storage, and can test your own data managers and the
// packages built on them.
//
// [Pairs] takes a table of operations, and runs each of them together with each other one and with
// itself, in one transaction that ends at the same time:
//
//	transactiontest.Pairs(t, transactiontest.Config[*left]{
//		Begin:      func(t testing.TB) (*left, *transaction.Txn) { … },
//		Operations: []transactiontest.Operation[*left]{
//			{Name: "put", Do: func(l *left) error { … }},
//		},
//		Check:      func(t testing.TB, l *left, committed bool, a, b string) { … },
//	})
//
// Run it with the race detector.
package transactiontest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// An Operation is a call that a goroutine may make in a transaction while another goroutine ends
// it. T is the state of one transaction, as made by Begin.
type Operation[T any] struct {
	Name string
	Do   func(T) error
}

// A Config is the operations to test, and how to check their results.
type Config[T any] struct {
	// Begin begins a transaction that both goroutines use.
	Begin func(testing.TB) (T, *transaction.Txn)

	// Operations are called several times by each goroutine. They are safe for concurrent use, but
	// for the behaviour under test.
	Operations []Operation[T]

	// Refused reports whether an operation may fail with err, besides [transaction.ErrEnded] and
	// [transaction.ErrCommitFailed]. It may be nil.
	Refused func(err error) bool

	// Check is called after both goroutines and the end, with the names of the two operations. It
	// may be nil.
	Check func(t testing.TB, x T, committed bool, a, b string)

	// Rounds is how often each pair is run; 0 means 4. In every second round the transaction is
	// aborted.
	Rounds int
}

const (
	defaultRounds = 4
	calls         = 3           // of each operation in a round
	patience      = time.Minute // the longest time for a round
)

// Pairs runs all pairs of operations. It fails t if a call panics, never returns, or returns an
// error that Config doesn't allow. The race detector finds further faults.
func Pairs[T any](t *testing.T, c Config[T]) {
	t.Helper()
	if c.Rounds == 0 {
		c.Rounds = defaultRounds
	}
	for i, a := range c.Operations {
		for _, b := range c.Operations[i:] {
			for n := range c.Rounds {
				if !c.round(t, n, a, b) {
					return
				}
			}
			if t.Failed() {
				t.Fatalf("%s and %s: failed", a.Name, b.Name)
			}
		}
	}
}

// round runs a and b in one transaction, which a third goroutine ends after some of their calls. It
// reports whether all of them returned.
func (c *Config[T]) round(t *testing.T, n int, a, b Operation[T]) bool {
	t.Helper()
	x, txn := c.Begin(t)
	called := make(chan struct{}, 2*calls)
	var group sync.WaitGroup
	var ready atomic.Int32
	start := func() { // lets all three begin at nearly the same moment
		for ready.Add(1); ready.Load() < 3; {
			runtime.Gosched()
		}
	}
	for _, op := range [...]Operation[T]{a, b} {
		group.Go(func() {
			start()
			for range calls {
				if err := op.Do(x); err != nil && !c.expected(err) {
					t.Errorf("%s, beside %s and %s: %v", op.Name, a.Name, b.Name, err)
				}
				called <- struct{}{}
			}
		})
	}
	ended := make(chan error, 1)
	group.Go(func() {
		start()
		for range n / 2 % (2*calls - 1) {
			<-called
		}
		ended <- c.end(txn, n)
	})
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		t.Errorf("%s and %s: a call does not return:\n%s", a.Name, b.Name,
			stacks[:runtime.Stack(stacks, true)])
		return false
	}
	if err := <-ended; err != nil && !c.expected(err) && !errors.Is(err, transaction.ErrDoomed) {
		t.Errorf("the end, beside %s and %s: %v", a.Name, b.Name, err)
	}
	if err := txn.Abort(context.Background()); err != nil && !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("the abort after %s and %s: %v", a.Name, b.Name, err)
	}
	if c.Check != nil {
		c.Check(t, x, txn.Status() == transaction.Committed, a.Name, b.Name)
	}
	return true
}

func (c *Config[T]) end(txn *transaction.Txn, n int) error {
	if n%2 == 0 {
		return txn.Commit(context.Background())
	}
	return txn.Abort(context.Background())
}

func (c *Config[T]) expected(err error) bool {
	return errors.Is(err, transaction.ErrEnded) || errors.Is(err, transaction.ErrCommitFailed) ||
		c.Refused != nil && c.Refused(err)
}

// Transaction returns the operations of every transaction, which of returns.
func Transaction[T any](of func(T) *transaction.Txn) []Operation[T] {
	var ops []Operation[T]
	add := func(name string, do func(*transaction.Txn) error) {
		ops = append(ops, Operation[T]{name, func(x T) error { return do(of(x)) }})
	}
	ctx := context.Background()
	add("Commit", func(txn *transaction.Txn) error { return doomed(txn.Commit(ctx)) })
	add("Abort", func(txn *transaction.Txn) error { return txn.Abort(ctx) })
	add("Doom", func(txn *transaction.Txn) error { return txn.Doom() })
	add("Savepoint", func(txn *transaction.Txn) error { return second(txn.Savepoint()) })
	add("OptimisticSavepoint", func(txn *transaction.Txn) error {
		return second(txn.OptimisticSavepoint())
	})
	add("Rollback", func(txn *transaction.Txn) error {
		s, err := txn.Savepoint()
		if err != nil {
			return err
		}
		// by another rollback
		if err := s.Rollback(); !errors.Is(err, transaction.ErrInvalidSavepoint) {
			return err
		}
		return nil
	})
	add("Join", func(txn *transaction.Txn) error { return txn.Join(new(manager)) })
	add("JoinAs", func(txn *transaction.Txn) error {
		return second(txn.JoinAs(managerKey{}, 1, new(manager)))
	})
	add("Hold", func(txn *transaction.Txn) error {
		if err := txn.Hold(); err != nil {
			return err
		}
		defer txn.Release()
		if err := txn.Join(new(manager)); err != nil {
			return errors.New("held, and yet over: " + err.Error())
		}
		return nil
	})
	add("hooks", func(txn *transaction.Txn) error {
		txn.BeforeCommit(func(context.Context) error {
			return ended(second(txn.Savepoint()))
		})
		txn.BeforeAbort(func(context.Context) { _ = txn.Join(new(manager)) })
		txn.AfterCommit(func(context.Context, bool) { txn.SetData(managerKey{}, nil) })
		txn.AfterAbort(func(context.Context) { _ = txn.Data(managerKey{}) })
		return nil
	})
	add("notes", func(txn *transaction.Txn) error {
		txn.Note("left over")
		txn.SetUser("left over")
		txn.SetExtension("left", "over")
		txn.SetData(extraKey{}, txn.ID())
		_, _, _, _ = txn.Description(), txn.User(), txn.Extension(), txn.Data(extraKey{})
		return nil
	})
	add("questions", func(txn *transaction.Txn) error {
		_, _, _, _ = txn.Status(), txn.Prepared(), txn.Recorder(), txn.HasSavepoint()
		_ = txn.IsTransient(errors.New(strings.Repeat("?", 3)))
		return nil
	})
	return ops
}

func second[T any](_ T, err error) error { return err }

// doomed ignores the error of a commit after another operation has doomed the transaction.
func doomed(err error) error {
	if errors.Is(err, transaction.ErrDoomed) {
		return nil
	}
	return err
}

// ended ignores the error of a savepoint after another goroutine's failed.
func ended(err error) error {
	if errors.Is(err, transaction.ErrCommitFailed) {
		return nil
	}
	return err
}

type managerKey struct{}

type extraKey struct{}

// A manager is a data manager that only notices, itself or by the race detector, a second end.
type manager struct{ told int }

func (m *manager) SortKey() string { return "left over" }

func (m *manager) ReadOnly() bool { return true }

func (m *manager) tell() error {
	if m.told++; m.told > 1 {
		return errors.New("transactiontest: a data manager was told of the end twice")
	}
	return nil
}

func (m *manager) Commit(context.Context, resource.Txn) error { return m.tell() }

func (m *manager) Abort(context.Context, resource.Txn) error { return m.tell() }

func (m *manager) Savepoint() (resource.Savepoint, error) { return m, nil }

func (m *manager) Rollback() error { return nil }
