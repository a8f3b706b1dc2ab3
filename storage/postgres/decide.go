package postgres

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DeciderID is that of the tables.
func (e *engine) DeciderID() string { return e.id }

// Decided looks for the record.
func (e *engine) Decided(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, "SELECT committed FROM "+e.statements.decisions+" WHERE id = $1", id).Scan(&committed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return committed, e.explain(err)
}

// Settle waits for a commit that is just writing its record, as long as lock_timeout.
func (e *engine) Settle(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		_, err = conn.Exec(ctx, "INSERT INTO "+e.statements.decisions+" (id, committed) VALUES ($1, false) ON CONFLICT (id) DO NOTHING", id)
		if !isConflict(err) || n == rounds {
			break
		}
	}
	if err != nil {
		return false, e.explain(err)
	}
	err = conn.QueryRow(ctx, "SELECT committed FROM "+e.statements.decisions+" WHERE id = $1", id).Scan(&committed)
	return committed, e.explain(err)
}

// decided are the records that nobody will ask for any more.
type decided struct {
	mu  sync.Mutex // guards ids
	ids []string
}

// manyDecided is when they are deleted, together.
const manyDecided = 100

// Forget deletes records from time to time.
func (e *engine) Forget(id string) {
	d := &e.decided
	d.mu.Lock()
	d.ids = append(d.ids, id)
	full := len(d.ids) >= manyDecided
	d.mu.Unlock()
	if full && e.enter() == nil {
		go func() {
			defer e.views.Done()
			d.flush(e)
		}()
	}
}

// flush deletes them. Those for which that fails stay for ever, which costs some bytes.
func (d *decided) flush(e *engine) {
	d.mu.Lock()
	ids := d.ids
	d.ids = nil
	d.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_ = e.alone(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "DELETE FROM "+e.statements.decisions+" WHERE id = ANY ($1)", ids)
		return err
	})
}
