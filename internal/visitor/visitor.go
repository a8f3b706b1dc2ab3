package visitor

import (
	"context"
	"errors"
	"sync"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// ErrNoID is wrapped by the errors of operations that need the browser's id when the context carries
// none.
var ErrNoID = errors.New("no browser id in the context")

// ErrBehindTransaction is returned by [Context.Renew] when the browserid filter stands behind the
// filter tm, inside of the transaction: the response header may then be sent before the outcome of
// the transaction is known.
var ErrBehindTransaction = errors.New("the browserid filter stands behind tm, so the cookie " +
	"can't wait for the commit: " +
	"put it before tm in the pipeline")

// A Visitor is the browser of one request. Its methods are safe for concurrent use.
type Visitor interface {
	// ID returns the browser's id; ok is false if no cookie can be sent any more.
	ID() (id string, ok bool)

	// MakeID returns an id in the filter's form, derived from the seed.
	MakeID(seed [SeedSize]byte) string

	// CanSetID returns nil while a new id can be sent to the browser, and otherwise an error with
	// the reason.
	CanSetID() error

	// SetID makes id the browser's id, and sends it with the response.
	SetID(id string) error
}

// SeedSize is the number of bytes that an id is derived from; shorter ids use a part of them.
const SeedSize = 32

// A Context is a context that carries a [Visitor]. It is a type so that a struct can have it as a
// field; both fields must be set before use.
type Context struct {
	context.Context
	Visitor Visitor
}

type contextKey struct{}

// Value returns c for this package's key, and the parent's value for others.
func (c *Context) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// String is used by fmt to print the context. It does not reveal the id.
func (c *Context) String() string { return "visitor.Context" }

// FromContext returns the innermost [Context] around ctx.
func FromContext(ctx context.Context) (*Context, bool) {
	c, ok := ctx.Value(contextKey{}).(*Context)
	return c, ok
}

// ID returns the id of the browser as the transaction of ctx sees it. ok is false if ctx carries no
// [Visitor] or the Visitor can give no id.
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

// Renewed returns the id that t has given the browser, unless t has failed or was aborted.
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

// Renew makes id the browser's id if t commits, and within t from now on. A rollback to an earlier
// savepoint undoes it. If the new id can't be sent any more at the time of the commit, the commit
// fails.
//
// Errors: [ErrBehindTransaction], that of [Visitor.CanSetID], transaction.ErrEnded,
// transaction.ErrCommitFailed.
func (c *Context) Renew(t *transaction.Txn, id string) error {
	if err := c.Visitor.CanSetID(); err != nil {
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
		return nil // the hooks are registered
	}
	t.SetData((*renewalKey)(c), r)
	t.BeforeCommit(func(context.Context) error {
		if _, ok := r.get(); ok {
			return c.Visitor.CanSetID()
		}
		return nil
	})
	t.AfterCommit(func(_ context.Context, committed bool) {
		if id, ok := r.get(); ok && committed {
			// CanSetID succeeded before the commit, so SetID fails only if the handler sends the
			// header during the commit.
			_ = c.Visitor.SetID(id)
		}
	})
	return nil
}

// A renewal is the new id that a transaction has given the browser. It joins the transaction as a
// data manager (a participant in its commit) with nothing to commit, so that a rollback to a
// savepoint also restores the id.
type renewal struct {
	mu sync.Mutex // guards id
	id string     // empty: none
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

// SortKey implements [resource.DataManager].
func (r *renewal) SortKey() string { return "browser id" }

// Commit implements [resource.DataManager]. It does nothing, as the id is sent after the commit.
func (r *renewal) Commit(context.Context, resource.Txn) error { return nil }

// Abort implements [resource.DataManager]. It is also called when a savepoint from before the
// renewal is rolled back.
func (r *renewal) Abort(context.Context, resource.Txn) error {
	r.set("")
	return nil
}

// ReadOnly implements [resource.ReadOnlyReporter].
func (r *renewal) ReadOnly() bool { return true }

// Savepoint implements [resource.Savepointer].
func (r *renewal) Savepoint() (resource.Savepoint, error) {
	id, _ := r.get()
	return savepoint{r, id}, nil
}

type savepoint struct {
	r  *renewal
	id string
}

// Rollback implements [resource.Savepoint].
func (s savepoint) Rollback() error {
	s.r.set(s.id)
	return nil
}

// Interface checks.
var (
	_ resource.DataManager      = (*renewal)(nil)
	_ resource.ReadOnlyReporter = (*renewal)(nil)
	_ resource.Savepointer      = (*renewal)(nil)
)
