package transaction_test

import (
	"context"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// silent is a data manager that costs nothing itself.
type silent struct{ key string }

func (s *silent) SortKey() string                           { return s.key }
func (*silent) Commit(context.Context, resource.Txn) error  { return nil }
func (*silent) Abort(context.Context, resource.Txn) error   { return nil }
func (*silent) Prepare(context.Context, resource.Txn) error { return nil }
func (*silent) Finish(context.Context, resource.Txn) error  { return nil }
func (*silent) Savepoint() (resource.Savepoint, error)      { return nil, nil }
func oneTransaction(ctx context.Context, managers ...*silent) bool {
	ctx, t := transaction.Begin(ctx)
	for _, dm := range managers {
		if t.Join(dm) != nil {
			return false
		}
	}
	return t.Commit(ctx) == nil
}

// Every request begins a transaction and an attempt: what they allocate is a budget.
func TestAllocations(t *testing.T) {
	a, b := &silent{"a"}, &silent{"b"}
	tests := []struct {
		name string
		f    func(ctx context.Context) bool
		want float64
	}{
		{"attempt", func(ctx context.Context) bool {
			attempts := transaction.Policy{}.Attempts(ctx)
			defer attempts.End()
			_, ok := transaction.AttemptFromContext(attempts.Context())
			return ok && !attempts.Again(nil)
		}, 1},
		{"empty transaction", func(ctx context.Context) bool { return oneTransaction(ctx) }, 1},
		{"one manager", func(ctx context.Context) bool { return oneTransaction(ctx, a) }, 3},
		{"two managers", func(ctx context.Context) bool { return oneTransaction(ctx, a, b) }, 6},
	}
	for _, tt := range tests {
		ctx := t.Context()
		if got := testing.AllocsPerRun(100, func() {
			if !tt.f(ctx) {
				t.Error("failed")
			}
		}); got > tt.want {
			t.Errorf("%s: %g allocations, want %g at most", tt.name, got, tt.want)
		}
	}
}

func BenchmarkTransaction(b *testing.B) {
	one, two := &silent{"a"}, &silent{"b"}
	for _, bb := range []struct {
		name     string
		managers []*silent
	}{{"managers=0", nil}, {"managers=1", []*silent{one}}, {"managers=2", []*silent{one, two}}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := b.Context()
			for b.Loop() {
				if !oneTransaction(ctx, bb.managers...) {
					b.Fatal("failed")
				}
			}
		})
	}
}

func BenchmarkAttempt(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	for b.Loop() {
		attempts := transaction.Policy{}.Attempts(ctx)
		if attempts.Again(nil) {
			b.Fatal("again")
		}
		attempts.End()
	}
}
