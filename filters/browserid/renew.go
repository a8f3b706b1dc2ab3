package browserid

import (
	"context"
	"errors"

	"github.com/pasteline/pasteline/transaction"
)

// Errors of Renew.
var (
	// ErrNoFilter is returned when there is no browserid filter around the handler.
	ErrNoFilter = errors.New(`browserid: no filter around this handler: add "browserid" to the pipeline`)

	// ErrHeaderSent is returned when the response header has been sent, so that the browser can't be told of a new id.
	ErrHeaderSent = errors.New("browserid: the response header has been sent: renew the id before the first write or flush")

	// ErrInTransaction is returned when the filter stands inside of the transaction, so that the header is written before
	// it is known whether the renewal was committed.
	ErrInTransaction = errors.New("browserid: the filter stands behind tm, so the cookie can't wait for the commit: put it before tm in the pipeline")
)

// Renew gives the browser a new id and returns it. Call it when a visitor logs in, or gains rights in another way, and
// carry the session over to the new id: whoever knew the old one, or planted it, then holds an id without a session.
//
// If ctx carries a transaction that is still open, the new id belongs to that transaction: [FromContext] answers it for
// this context, and it becomes the browser's id, and a cookie, only if the transaction commits. An attempt that fails
// leaves nothing of it. Without a transaction it is the browser's id at once.
//
// The errors are [ErrNoFilter], [ErrInTransaction] and [ErrHeaderSent]. If the header is sent between Renew and the commit, the commit fails
// with ErrHeaderSent. Rolling back to a savepoint does not take a renewal back. Renew is safe for concurrent use.
func Renew(ctx context.Context) (ID, error) {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return "", ErrNoFilter
	}
	if v.isSealed() {
		return "", ErrHeaderSent
	}
	id := v.filter.newID()
	t, ok := transaction.FromContext(ctx)
	if !ok || t.Status() != transaction.Active && t.Status() != transaction.Doomed {
		return id, v.adopt(id)
	}
	if outer, ok := transaction.FromContext(v.request.Context()); ok && outer == t { //nolint:contextcheck // it is what came from outside
		return "", ErrInTransaction
	}
	v.renewIn(t, id)
	return id, nil
}

// renewIn makes id the browser's id if t commits.
func (v *visit) renewIn(t *transaction.Txn, id ID) {
	key := renewalKey{v}
	again := t.Data(key) != nil
	t.SetData(key, id)
	v.mu.Lock()
	v.pending = true
	v.mu.Unlock()
	if again {
		return // the hooks are there, and read what is the newest id by then
	}
	t.BeforeCommit(func(context.Context) error {
		if v.isSealed() {
			return ErrHeaderSent
		}
		return nil
	})
	t.AfterCommit(func(_ context.Context, committed bool) {
		if id, ok := t.Data(key).(ID); ok && committed {
			_ = v.adopt(id) // sealed since BeforeCommit: only a handler that writes while it commits gets there
		}
	})
}

func (v *visit) isSealed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sealed
}
