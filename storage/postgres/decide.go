package postgres

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/failpoint"
)

// RecorderID returns the id of the tables.
func (e *database) RecorderID() string { return e.id }

// Decided looks up the record.
func (e *database) Decided(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, qualify("SELECT committed FROM "+e.statements.decisions+" WHERE id {=} $1"), id).Scan(&committed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return committed, e.explain(err)
}

// Settle waits for a commit that is just writing its record, up to lock_timeout.
func (e *database) Settle(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		// A refusal is acted on at once, so its record waits for the disk, as a decision does.
		_, err = conn.Exec(ctx, "INSERT INTO "+e.statements.decisions+" (id, committed) VALUES ($1, NOT "+recorded(durable)+
			") ON CONFLICT (id) DO NOTHING", id)
		if !isSerialization(err) || n == rounds {
			break
		}
	}
	if err != nil {
		return false, e.explain(err)
	}
	failpoint.Here("postgres: outcome settled")
	err = conn.QueryRow(ctx, qualify("SELECT committed FROM "+e.statements.decisions+" WHERE id {=} $1"), id).Scan(&committed)
	return committed, e.explain(err)
}

// decided are the records that are no longer needed.
type decided struct {
	mu  sync.Mutex // guards ids
	ids []string
}

const (
	manyDecided = 100    // when they are deleted, together
	mostDecided = 10_000 // how many are kept for a time when that is possible; others stay for ever, which costs some bytes
)

// Forget queues a record for batched deletion.
func (e *database) Forget(id string) {
	d := &e.decided
	d.mu.Lock()
	d.ids = append(d.ids, id)
	full := len(d.ids)%manyDecided == 0
	d.mu.Unlock()
	if full && e.enter() == nil {
		go func() {
			defer e.views.Done()
			d.flush(e)
		}()
	}
}

// flush deletes the queued records, at an isolation level at which no commit can conflict with
// that.
func (d *decided) flush(e *database) {
	d.mu.Lock()
	ids := d.ids
	d.ids = nil
	d.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	failpoint.Here("postgres: before forgetting")
	err := e.alone(ctx, func(conn *pgxpool.Conn) error {
		b := &pgx.Batch{}
		b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
		b.Queue(qualify("DELETE FROM "+e.statements.decisions+" WHERE id {=} ANY ($1)"), ids)
		b.Queue("COMMIT")
		return conn.SendBatch(ctx, b).Close()
	})
	failpoint.Here("postgres: forgotten")
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ids) < mostDecided {
		d.ids = append(d.ids, ids...) // for the next time
	}
}
