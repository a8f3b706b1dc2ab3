package visitor

import (
	"context"
	"errors"
	"sync"

	"github.com/pasteline/pasteline/transaction"
)

// ErrBehindTransaction is returned by [Context.Renew] when the filter that knows the browser stands inside of the
// transaction: the response header may leave then before it is known whether the transaction was committed.
var ErrBehindTransaction = errors.New("the browserid filter stands behind tm, so the cookie can't wait for the commit: " +
	"put it before tm in the pipeline")

// A Visitor is one browser, for as long as one request of it is served. Its methods are safe for concurrent use.
type Visitor interface {
	// ID returns the browser's id; ok is false if the browser can't be told of it any more.
	ID() (id string, ok bool)

	// MakeID returns an id of the form that the filter's ids have: of the same seed, the same.
	MakeID(seed [SeedSize]byte) string

	// CanTell returns nil as long as the browser can be told of a new id, and then why it can't.
	CanTell() error

	// Tell makes id the browser's.
	Tell(id string) error
}

// SeedSize is the number of bytes that an id is made of; a form of fewer bits uses a part of them.
const SeedSize = 32

// A Context is a context that carries a [Visitor]. It is a type so that a struct may have it as a field; both fields
// are set before it is used.
type Context struct {
	context.Context
	Visitor Visitor
}

type contextKey struct{}

// Value returns c itself to this package, and what the parent has to others.
func (c *Context) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context: not the id.
func (c *Context) String() string { return "visitor.Context" }

// FromContext returns the innermost [Context] around ctx.
func FromContext(ctx context.Context) (*Context, bool) {
	c, ok := ctx.Value(contextKey{}).(*Context)
	return c, ok
}

// ID returns the id of the browser as the transaction of ctx sees it. It is false if ctx carries no [Visitor], or that has
// no id to give.
func ID(ctx context.Context) (string, bool) {
	c, ok := FromContext(ctx)
	if !ok {
		return "", false
	}
	if t, ok := transaction.FromContext(ctx); ok {
		if id, ok := c.Renewed(t); ok {
			return id, true
		}
	}
	return c.Visitor.ID()
}

// renewalKey is the key of a visitor's renewal among the data of a transaction.
type renewalKey Context

// Renewed returns the id that t has given the browser, unless that came to nothing.
func (c *Context) Renewed(t *transaction.Txn) (id string, ok bool) {
	r, ok := t.Data((*renewalKey)(c)).(*renewal)
	if !ok {
		return "", false
	}
	switch t.Status() {
	case transaction.Aborted, transaction.CommitFailed:
		return "", false
	}
	return r.get()
}

// Renew makes id the browser's if t commits, and from now on for those who ask in t. A rollback to a savepoint from before
// takes it back. If the browser can't be told any more by the time of the commit, the commit fails.
//
// Errors: [ErrBehindTransaction], that of [Visitor.CanTell], transaction.ErrEnded, transaction.ErrCommitFailed.
func (c *Context) Renew(t *transaction.Txn, id string) error {
	if err := c.Visitor.CanTell(); err != nil {
		return err
	}
	if outer, ok := transaction.FromContext(c.Context); ok && outer == t {
		return ErrBehindTransaction
	}
	r, again := t.Data((*renewalKey)(c)).(*renewal)
	if !again {
		r = &renewal{}
	}
	if err := t.Join(r); err != nil {
		return err
	}
	r.set(id)
	if again {
		return nil // the hooks are there
	}
	t.SetData((*renewalKey)(c), r)
	t.BeforeCommit(func(context.Context) error {
		if _, ok := r.get(); ok {
			return c.Visitor.CanTell()
		}
		return nil
	})
	t.AfterCommit(func(_ context.Context, committed bool) {
		if id, ok := r.get(); ok && committed {
			// It could be told before the commit: only a handler that writes while it commits makes this fail.
			_ = c.Visitor.Tell(id)
		}
	})
	return nil
}

// A renewal is the new id that a transaction has for the browser. It is a data manager with nothing to commit, so that
// it follows savepoints.
type renewal struct {
	mu sync.Mutex // guards id
	id string     // empty: there is none
}

func (r *renewal) get() (id string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id, r.id != ""
}

func (r *renewal) set(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id = id
}

// SortKey implements [transaction.DataManager].
func (r *renewal) SortKey() string { return "browser id" }

// Commit implements [transaction.DataManager]: the browser is told after the commit of all.
func (r *renewal) Commit(context.Context, *transaction.Txn) error { return nil }

// Abort implements [transaction.DataManager]. It comes, too, when a savepoint from before the renewal is rolled back.
func (r *renewal) Abort(context.Context, *transaction.Txn) error {
	r.set("")
	return nil
}

// ReadOnly implements [transaction.ReadOnlyReporter].
func (r *renewal) ReadOnly() bool { return true }

// Savepoint implements [transaction.Savepointer].
func (r *renewal) Savepoint() (transaction.DataSavepoint, error) {
	id, _ := r.get()
	return savepoint{r, id}, nil
}

type savepoint struct {
	r  *renewal
	id string
}

// Rollback implements [transaction.DataSavepoint].
func (s savepoint) Rollback() error {
	s.r.set(s.id)
	return nil
}

// Guards.
var (
	_ transaction.DataManager      = (*renewal)(nil)
	_ transaction.ReadOnlyReporter = (*renewal)(nil)
	_ transaction.Savepointer      = (*renewal)(nil)
)
