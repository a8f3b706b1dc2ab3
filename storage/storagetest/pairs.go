package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// A leftOver is a transaction that two goroutines use while a third one ends it.
type leftOver struct {
	db        *storage.DB
	ctx       context.Context
	txn       *transaction.Txn
	tx        *storage.Tx // nil: each call asks for it
	savepoint *transaction.Savepoint
	prefix    string // of its keys

	mu            sync.Mutex // guards the rest
	present, lost []string   // keys whose put was acknowledged, and refused
}

var leftOvers atomic.Int64

// newLeftOver begins a transaction. If it is fresh, only the goroutines use the database in it.
func newLeftOver(tb testing.TB, db *storage.DB, fresh bool) *leftOver {
	tb.Helper()
	l := &leftOver{db: db, prefix: fmt.Sprintf("%d/", leftOvers.Add(1))}
	l.ctx, l.txn = transaction.Begin(context.Background())
	var err error
	if !fresh {
		if l.tx, err = db.Tx(l.ctx); err != nil {
			tb.Fatal(err)
		}
		for range 3 {
			if err := l.put(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if l.savepoint, err = l.txn.Savepoint(); err != nil {
		tb.Fatal(err)
	}
	return l
}

func (l *leftOver) bucket() (storage.Bucket, error) {
	tx := l.tx
	if tx == nil {
		var err error
		if tx, err = l.db.Tx(l.ctx); err != nil {
			return storage.Bucket{}, err
		}
	}
	return tx.Bucket("b"), nil
}

// put puts a new key, and records whether that was acknowledged.
func (l *leftOver) put() error {
	key := fmt.Sprintf("%s%03d", l.prefix, leftOvers.Add(1))
	b, err := l.bucket()
	if err == nil {
		err = b.Put([]byte(key), []byte(key))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.present = append(l.present, key)
	} else {
		l.lost = append(l.lost, key)
	}
	return err
}

// loop calls body for each key.
func (l *leftOver) loop(reverse bool, body func() error) error {
	b, err := l.bucket()
	if err != nil {
		return err
	}
	r := storage.Prefix([]byte(l.prefix))
	r.Reverse = reverse
	for _, err := range b.Range(r) {
		if err == nil {
			err = body()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check checks that the database has all acknowledged puts if the transaction was committed, and
// none of its puts otherwise.
func (l *leftOver) check(tb testing.TB, committed, undone bool) {
	tb.Helper()
	ctx, txn := transaction.Begin(context.Background())
	defer func() { _ = txn.Abort(ctx) }()
	tx, err := l.db.Tx(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	items, err := tx.Bucket("b").Items(storage.Prefix([]byte(l.prefix)))
	if err != nil {
		tb.Fatal(err)
	}
	stored := map[string]bool{}
	for _, item := range items {
		stored[string(item.Key)] = true
	}
	if !committed && len(stored) > 0 {
		tb.Errorf("not committed, but stored: %v", stored)
	}
	for _, key := range l.lost {
		if stored[key] {
			tb.Errorf("the put of %s was refused, but it is stored", key)
		}
	}
	for _, key := range l.present {
		if committed && !undone && !stored[key] {
			tb.Errorf("the put of %s was acknowledged and committed, but only these are stored: %v",
				key, stored)
		}
	}
}

// leftOverOperations returns operations of package storage and of transactions.
func leftOverOperations() []transactiontest.Operation[*leftOver] {
	type op = transactiontest.Operation[*leftOver]
	in := func(f func(l *leftOver, b storage.Bucket) error) func(*leftOver) error {
		return func(l *leftOver) error {
			b, err := l.bucket()
			if err != nil {
				return err
			}
			return f(l, b)
		}
	}
	nothing := func() error { return nil }
	return append(transactiontest.Transaction(func(l *leftOver) *transaction.Txn { return l.txn }),
		op{
			Name: "Rollback of an earlier savepoint",
			Do:   func(l *leftOver) error { return l.savepoint.Rollback() },
		},
		op{Name: "DB.Tx", Do: func(l *leftOver) error { _, err := l.db.Tx(l.ctx); return err }},
		op{Name: "With", Do: func(l *leftOver) error {
			tx, err := l.db.Tx(l.ctx)
			if err == nil {
				err = tx.With(func(engine.View) error { return nil })
			}
			return err
		}},
		op{Name: "Get", Do: in(func(l *leftOver, b storage.Bucket) error {
			_,
				err := b.Get([]byte(l.prefix))
			return err
		})},
		op{Name: "Get of a snapshot", Do: in(func(_ *leftOver, b storage.Bucket) error {
			_, err := b.Snapshot().Get([]byte("other"))
			return err
		})},
		op{Name: "AddReadConflict", Do: in(func(_ *leftOver,
			b storage.Bucket,
		) error {
			return b.AddReadConflict([]byte("other"))
		})},
		op{Name: "Put", Do: (*leftOver).put},
		op{Name: "Delete", Do: in(func(l *leftOver,
			b storage.Bucket,
		) error {
			return b.Delete([]byte(l.prefix + "x"))
		})},
		op{Name: "Range", Do: func(l *leftOver) error { return l.loop(false, nothing) }},
		op{Name: "Range in reverse", Do: func(l *leftOver) error { return l.loop(true, nothing) }},
		op{
			Name: "Range with Put in it",
			Do:   func(l *leftOver) error { return l.loop(false, l.put) },
		},
		op{Name: "Range with Get in it", Do: in(func(l *leftOver, b storage.Bucket) error {
			return l.loop(true, func() error { _, err := b.Get([]byte("other")); return err })
		})},
		op{Name: "Range with Commit in it", Do: func(l *leftOver) error {
			return l.loop(false, func() error { return l.txn.Commit(context.Background()) })
		}},
		op{Name: "Range with Abort in it", Do: func(l *leftOver) error {
			return l.loop(true, func() error { return l.txn.Abort(context.Background()) })
		}},
		op{
			Name: "Range with Rollback in it",
			Do:   func(l *leftOver) error { return l.loop(false, l.savepoint.Rollback) },
		},
		op{Name: "Items", Do: in(func(l *leftOver, b storage.Bucket) error {
			_, err := b.Items(storage.Prefix([]byte(l.prefix)))
			return err
		})},
		op{Name: "TryLock", Do: func(l *leftOver) error {
			unlock, _, err := l.db.TryLock(l.ctx, "left over")
			unlock()
			return err
		}},
	)
}

// Whatever two goroutines do in a transaction while a third one ends it, each call takes effect
// whole or is refused, and none keeps a resource.
func testAllPairs(t *suite) {
	for _, fresh := range []bool{false, true} {
		t.sub(fmt.Sprintf("fresh=%t", fresh), func(t *suite) {
			db := t.open()
			set(t, db, "other", "2")
			transactiontest.Pairs(t.T, transactiontest.Config[*leftOver]{
				Begin: func(tb testing.TB) (*leftOver, *transaction.Txn) {
					tb.Helper()
					l := newLeftOver(tb, db, fresh)
					return l, l.txn
				},
				Operations: leftOverOperations(),
				// a commit that a Doom stops has invalidated the savepoint already
				Refused: func(err error) bool {
					return errors.Is(err, transaction.ErrDoomed) ||
						errors.Is(err, transaction.ErrInvalidSavepoint)
				},
				Check: func(tb testing.TB, l *leftOver, committed bool, a, b string) {
					tb.Helper()
					l.check(tb, committed, slices.ContainsFunc([]string{a, b},
						func(name string) bool {
							return strings.Contains(name, "Rollback")
						}))
				},
				Rounds: t.Rounds,
			})
		})
	}
}
