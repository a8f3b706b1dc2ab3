package bolt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/transaction"
)

// BenchmarkCommit measures a read and a durable write of a key per client, and the same with bbolt
// alone.
func BenchmarkCommit(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("engine=pasteline/clients=%d", clients), func(b *testing.B) {
			db := mustOpen(b, tempFile(b))
			parallel(b, clients, func(key, value []byte) error {
				return transaction.Run(context.Background(), func(ctx context.Context) error {
					tx, err := db.Tx(ctx)
					if err != nil {
						return err
					}
					bucket := tx.Bucket("bench")
					if _, err := bucket.Get(key); err != nil {
						return err
					}
					return bucket.Put(key, value)
				})
			})
		})
		for _, raw := range []struct {
			name   string
			update func(*bbolt.DB, func(*bbolt.Tx) error) error
		}{{"update", (*bbolt.DB).Update}, {"batch", (*bbolt.DB).Batch}} {
			b.Run(fmt.Sprintf("engine=bbolt-%s/clients=%d", raw.name, clients), func(b *testing.B) {
				db, err := bbolt.Open(tempFile(b), 0o600, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				parallel(b, clients, func(key, value []byte) error {
					return raw.update(db, func(tx *bbolt.Tx) error {
						bucket, err := tx.CreateBucketIfNotExists([]byte("bench"))
						if err != nil {
							return err
						}
						bucket.Get(key)
						return bucket.Put(key, value)
					})
				})
			})
		}
	}
}

// parallel runs work b.N times in total, on one goroutine per client, each with its own key.
func parallel(b *testing.B, clients int, work func(key, value []byte) error) {
	b.Helper()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			key := binary.BigEndian.AppendUint64([]byte("client"), uint64(client))
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				if err := work(key, binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkOpen opens a large file that was closed, and one whose process was killed, and reads a
// key.
func BenchmarkOpen(b *testing.B) {
	closed, killed := tempFile(b), tempFile(b)
	db := open(b, closed)
	for from := 0; from < 400_000; from += 20_000 {
		err := transaction.Run(b.Context(), func(ctx context.Context) error {
			bucket, err := db.Bucket(ctx, "b")
			for i := from; i < from+20_000 && err == nil; i++ {
				err = bucket.Put(fmt.Appendf(nil, "%016d", i), make([]byte, 100))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	content, err := os.ReadFile(closed)
	if err == nil {
		err = os.WriteFile(killed, content, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	closeDB(b, db)
	for _, bb := range []struct{ name, path string }{{"closed", closed}, {"killed", killed}} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				db := open(b, bb.path)
				get(b, db, "0000000000001000")
				b.StopTimer()
				closeDB(b, db)
				b.StartTimer()
			}
		})
	}
}
