package memory_test

import (
	"context"
	"testing"

	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
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
