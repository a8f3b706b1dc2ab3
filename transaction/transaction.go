package transaction

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
)

// A Manager begins transactions. The zero Manager is ready to use, and safe for concurrent use by
// multiple goroutines; it must not be copied. Any number of transactions of one Manager may run at
// a time: the current transaction belongs to the context, not to the Manager or to a goroutine.
type Manager struct {
	// Logger receives errors that can't be returned to a caller, such as a hook that panics after
	// the decision or a manager that fails to abort or to finish, and warnings about slow commits.
	// Nil discards them.
	Logger *slog.Logger

	// SlowCommit is the duration from which a commit is logged as a warning, with the sort keys of
	// its data managers. Zero means one second, a negative value no warnings.
	SlowCommit time.Duration

	mu            sync.Mutex     // guards synchronizers
	synchronizers []Synchronizer // never changed in place: transactions keep the slice
}

// Begin starts a transaction and returns a context that carries it; see [FromContext].
// It has to be ended with [Txn.Commit] or [Txn.Abort].
//
// The new transaction is independent of one that ctx already carries: it commits separately, and
// hides the other in the returned context, like another BeginTx of database/sql.
//
// The error is that of a [Synchronizer] that refused the transaction, which has been aborted then.
// Without synchronizers it is always nil.
func (m *Manager) Begin(ctx context.Context) (context.Context, *Txn, error) {
	m.mu.Lock()
	synchronizers := m.synchronizers
	m.mu.Unlock()

	ctx, t := begin(ctx, m)
	for i, s := range synchronizers {
		if err := recovered(func() error { return s.NewTransaction(t) }); err != nil {
			_ = t.Abort(ctx) // its errors are logged; the reason is err
			return nil, nil, err
		}
		// those notified of the beginning are notified of the end
		t.synchronizers = synchronizers[:i+1]
	}
	return ctx, t, nil
}

// Register adds s to the synchronizers of transactions that m begins from now on. Registering s
// again has no effect. Synchronizers are called in the order of registration, by the goroutine that
// begins or ends the transaction.
func (m *Manager) Register(s Synchronizer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.synchronizers, s) {
		m.synchronizers = append(m.synchronizers, s)
	}
}

// Unregister reverses Register. Transactions begun before still notify s of their end.
func (m *Manager) Unregister(s Synchronizer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synchronizers = slices.DeleteFunc(slices.Clone(m.synchronizers),
		func(other Synchronizer) bool { return other == s })
}

// UnregisterAll unregisters every synchronizer.
func (m *Manager) UnregisterAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synchronizers = nil
}

// A Synchronizer is notified of the beginning and the end of every transaction of the [Manager]
// with which it is registered. It has to be comparable, and safe for concurrent use, because
// transactions run in several goroutines.
type Synchronizer interface {
	// NewTransaction is called when t begins. An error refuses it.
	NewTransaction(t *Txn) error

	// BeforeCompletion is called before t commits or aborts; data managers may still join. An error
	// stops a commit, with the transaction still active; an abort goes on and returns it.
	BeforeCompletion(t *Txn) error

	// AfterCompletion is called when t has committed, has failed to commit, or has been aborted.
	// After a failed commit it is called again when the transaction is aborted.
	AfterCompletion(t *Txn)
}

// Begin starts a transaction of a zero [Manager], and returns a context that carries it. If ctx
// already carries one, see [Manager.Begin].
func Begin(ctx context.Context) (context.Context, *Txn) { return begin(ctx, nil) }

// begin starts a transaction of m, which is nil for a zero Manager.
func begin(ctx context.Context, m *Manager) (context.Context, *Txn) {
	t := &Txn{manager: m}
	t.carrier = carrier{Context: ctx, txn: t}
	if seen := observe.FromContext(ctx); seen.Listening() {
		t.seen = seen
		t.onJoin = func(manager string) {
			seen.Joined(&t.carrier, observe.Join{Manager: manager})
		}
	}
	return &t.carrier, t
}

// FromContext returns the transaction that ctx carries, also after its end: see [Txn.Status].
func FromContext(ctx context.Context) (*Txn, bool) {
	t, ok := ctx.Value(txnKey{}).(*Txn)
	return t, ok
}

type txnKey struct{}

// carrier is the context of a transaction. As a field of Txn it needs no allocation of its own.
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

// String returns the text that fmt prints for a context.
func (c *carrier) String() string { return "transaction.Begin" }
