package session_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// engines opens an empty database of each kind.
func engines(b *testing.B, bench func(b *testing.B, db *storage.DB)) {
	b.Helper()
	for _, engine := range []struct {
		name string
		open func(b *testing.B) (*storage.DB, error)
	}{
		{"memory", func(*testing.B) (*storage.DB, error) { return memory.New("bench"), nil }},
		{"bolt", func(b *testing.B) (*storage.DB, error) {
			b.Helper()
			return bolt.Open(filepath.Join(b.TempDir(), "bench.db"), nil)
		}},
	} {
		b.Run("engine="+engine.name, func(b *testing.B) {
			db, err := engine.open(b)
			must(b, err)
			defer db.Close()
			b.ReportAllocs()
			bench(b, db)
		})
	}
}

func newBenchManager(b *testing.B, db *storage.DB) *session.Manager {
	b.Helper()
	m, err := session.NewManager(db, session.Config{})
	must(b, err)
	return m
}

func increment(m *session.Manager, id string) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := m.Get(session.WithID(ctx, id))
		if err != nil {
			return err
		}
		n, _, err := session.Get[int](s, "n")
		if err != nil {
			return err
		}
		return s.Set("n", n+1)
	}
}

// BenchmarkTransaction measures an empty transaction, the lower bound of the others.
func BenchmarkTransaction(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		must(b, transaction.Run(b.Context(), func(context.Context) error { return nil }))
	}
}

func BenchmarkRead(b *testing.B) {
	engines(b, func(b *testing.B, db *storage.DB) {
		b.Helper()
		m := newBenchManager(b, db)
		const id = "0123456789abcdefghijklmnopq"
		must(b, transaction.Run(b.Context(), increment(m, id)))
		read := func(ctx context.Context) error {
			s, err := m.Get(session.WithID(ctx, id))
			if err != nil {
				return err
			}
			_, _, err = session.Get[int](s, "n")
			return err
		}
		for b.Loop() {
			must(b, transaction.Run(b.Context(), read))
		}
	})
}

// BenchmarkFirstRead measures the first read of a session in its time slice, beside one in a slice
// that is marked already. The flush that stores the uses afterwards is measured by itself, per use.
func BenchmarkFirstRead(b *testing.B) {
	const sessions = 1000
	engines(b, func(b *testing.B, db *storage.DB) {
		b.Helper()
		m := newBenchManager(b, db)
		clock := newFakeClock()
		m.SetClock(clock.read)
		ids := make([]string, sessions)
		must(b, transaction.Run(b.Context(), func(ctx context.Context) error {
			for i := range ids {
				ids[i] = fmt.Sprintf("0123456789abcdefghi%08d", i)
				if err := increment(m, ids[i])(ctx); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, first := range []bool{true, false} {
			b.Run(fmt.Sprintf("first=%t", first), func(b *testing.B) {
				b.ReportAllocs()
				var flushing time.Duration
				for i := 0; b.Loop(); i++ {
					id := ids[i%sessions]
					if i%sessions == 0 {
						b.StopTimer()
						start := time.Now()
						must(b, m.Flush(b.Context()))
						flushing += time.Since(start)
						if first {
							clock.pass(session.DefaultPeriod)
						}
						b.StartTimer()
					}
					must(b, transaction.Run(b.Context(), func(ctx context.Context) error {
						s, err := m.Get(session.WithID(ctx, id))
						if err != nil {
							return err
						}
						_, _, err = session.Get[int](s, "n")
						return err
					}))
				}
				if first {
					b.ReportMetric(float64(flushing.Nanoseconds())/float64(b.N), "flush-ns/op")
				}
			})
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			engines(b, func(b *testing.B, db *storage.DB) {
				b.Helper()
				m := newBenchManager(b, db)
				if clients == 1 {
					for b.Loop() {
						must(b, transaction.Run(b.Context(), increment(m, "one")))
					}
					return
				}
				var client atomic.Int64
				b.SetParallelism(clients / 2) // SetParallelism multiplies by GOMAXPROCS
				b.RunParallel(func(pb *testing.PB) {
					work := increment(m, fmt.Sprint("client", client.Add(1)))
					for pb.Next() {
						if err := transaction.Run(b.Context(), work); err != nil {
							b.Error(err)
						}
					}
				})
			})
		})
	}
}

func BenchmarkSweep(b *testing.B) {
	const sessions = 1000
	engines(b, func(b *testing.B, db *storage.DB) {
		b.Helper()
		m := newBenchManager(b, db)
		clock := newFakeClock()
		m.SetClock(clock.read)
		for b.Loop() {
			b.StopTimer()
			must(b, transaction.Run(b.Context(), func(ctx context.Context) error {
				for i := range sessions {
					if err := increment(m, fmt.Sprint(i))(ctx); err != nil {
						return err
					}
				}
				return nil
			}))
			clock.pass(2 * session.DefaultTimeout)
			b.StartTimer()
			if n, err := m.Sweep(b.Context()); n != sessions || err != nil {
				b.Fatalf("got %d, %v", n, err)
			}
		}
	})
}
