package memory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func BenchmarkGetPut(b *testing.B) {
	db := memory.New("x")
	defer db.Close()
	b.ReportAllocs()
	for b.Loop() {
		err := transaction.Run(b.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			bk := tx.Bucket("b")
			v, err := bk.Get([]byte("n"))
			if err != nil {
				return err
			}
			_ = v
			return bk.Put([]byte("n"), []byte("abcdefgh"))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// unknown is a data manager that decides, with an unknown outcome.
type unknown struct{}

func (unknown) SortKey() string                            { return "" }
func (unknown) Commit(context.Context, resource.Txn) error { return transaction.ErrInDoubt }
func (unknown) Abort(context.Context, resource.Txn) error  { return nil }

// Prepared work of a transaction in doubt locks its keys, because it may be committed, but does not
// keep the database open.
func TestCloseInDoubt(t *testing.T) {
	t.Parallel()
	db := memory.New("doubt")
	write := func(managers ...resource.DataManager) error {
		return transaction.Run(t.Context(), func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			txn, _ := transaction.FromContext(ctx)
			for _, dm := range managers {
				if err := txn.Join(dm); err != nil {
					return err
				}
			}
			return tx.Bucket("b").Put([]byte("k"), nil)
		}, transaction.Policy{Tries: 1})
	}
	if err := write(unknown{}); !errors.Is(err, transaction.ErrInDoubt) {
		t.Fatalf("got %v, want ErrInDoubt", err)
	}
	if err := write(); !transaction.IsTransient(err) {
		t.Errorf("another one: got %v, want a conflict", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close waits for what nobody will finish")
	}
}
