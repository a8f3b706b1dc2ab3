package transaction

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// A Manager begins transactions. The zero Manager is ready to use, and safe for concurrent use by multiple goroutines;
// it must not be copied. There may be any number of transactions of one Manager at a time: the current one is that
// of the context, never that of the Manager or of a goroutine.
type Manager struct {
	// Logger is told what can't be returned to anybody: hooks that panic after the decision, managers that fail to
	// abort or to finish. Nil discards.
	Logger *slog.Logger

	mu            sync.Mutex     // guards synchronizers
	synchronizers []Synchronizer // no element is ever changed: transactions keep the slice
}

// Begin starts a transaction and returns a context that carries it; see [FromContext].
// It has to be ended by [Txn.Commit] or [Txn.Abort].
//
// A transaction that ctx already carries is left alone: the new one is independent of it, commits by itself, and hides
// it in the returned context, as another BeginTx of database/sql would.
//
// The error is that of a [Synchronizer] that refused; there is none when none is registered. The new transaction has
// been aborted then.
func (m *Manager) Begin(ctx context.Context) (context.Context, *Txn, error) {
	m.mu.Lock()
	synchronizers := m.synchronizers
	m.mu.Unlock()

	ctx, t := begin(ctx, m.Logger)
	for i, s := range synchronizers {
		if err := contain(func() error { return s.NewTransaction(t) }); err != nil {
			_ = t.Abort(ctx) // what fails there has been logged; the reason is err
			return nil, nil, err
		}
		t.synchronizers = synchronizers[:i+1] // who has been told of the beginning is told of the end
	}
	return ctx, t, nil
}

// Register lets s be told of every transaction that m begins from now on. A second registration is ignored.
// Synchronizers are called in the order of registration, by the goroutine that begins or ends the transaction.
func (m *Manager) Register(s Synchronizer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.synchronizers, s) {
		m.synchronizers = append(m.synchronizers, s)
	}
}

// Unregister ends what Register began. Transactions that were begun before still tell s of their end.
func (m *Manager) Unregister(s Synchronizer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synchronizers = slices.DeleteFunc(slices.Clone(m.synchronizers), func(other Synchronizer) bool { return other == s })
}

// UnregisterAll unregisters every synchronizer.
func (m *Manager) UnregisterAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synchronizers = nil
}

// Begin starts a transaction of a zero [Manager], and returns a context that carries it. See [Manager.Begin] about a
// context that carries one already.
func Begin(ctx context.Context) (context.Context, *Txn) { return begin(ctx, nil) }

func begin(ctx context.Context, logger *slog.Logger) (context.Context, *Txn) {
	t := &Txn{logger: logger}
	t.carrier = carrier{Context: ctx, txn: t}
	return &t.carrier, t
}

// FromContext returns the transaction that ctx carries. It is returned after its end as well, and tells so by
// [Txn.Status].
func FromContext(ctx context.Context) (*Txn, bool) {
	t, ok := ctx.Value(txnKey{}).(*Txn)
	return t, ok
}

type txnKey struct{}

// carrier is the context of a transaction. It is a field of Txn, so that the two cost one allocation.
type carrier struct {
	context.Context
	txn *Txn
}

func (c *carrier) Value(key any) any {
	if key == (txnKey{}) {
		return c.txn
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *carrier) String() string { return "transaction.Begin" }
