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

// Decided reports whether a transaction was committed, by its record.
func (e *database) Decided(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquireConn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = e.readDecision(ctx, conn, id, &committed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return committed, e.explain(err)
}

// Settle records that a transaction is aborted, unless it has a record already, and reports whether
// it was committed. It waits for a commit that is writing its record, up to lock_timeout.
func (e *database) Settle(ctx context.Context, id string) (committed bool, err error) {
	conn, err := e.acquireConn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		// The caller acts on an abort at once, so its record waits for the disk, as a decision
		// does.
		_, err = conn.Exec(ctx, "INSERT INTO "+e.statements.decisions+" (id, committed)"+
			" VALUES ($1, NOT "+recorded(durable)+") ON CONFLICT (id) DO NOTHING", id)
		if !isSerialization(err) || n == maxRuns {
			break
		}
	}
	if err != nil {
		return false, e.explain(err)
	}
	failpoint.Here("postgres: outcome settled")
	err = e.readDecision(ctx, conn, id, &committed)
	return committed, e.explain(err)
}

func (e *database) readDecision(ctx context.Context, conn *pgxpool.Conn, id string,
	committed *bool,
) error {
	text := qualify("SELECT committed FROM " + e.statements.decisions + " WHERE id {=} $1")
	return conn.QueryRow(ctx, text, id).Scan(committed)
}

// forgotten are the records that are no longer needed.
type forgotten struct {
	mu  sync.Mutex // guards ids
	ids []string
}

const (
	flushSize = 100 // this many records are deleted together
	// If they can't be deleted, this many are kept for a later attempt. Others stay in the table,
	// which costs some bytes.
	maxForgotten = 10_000
)

// Forget queues a record for batched deletion.
func (e *database) Forget(id string) { e.forget(context.Background(), id) }

func (e *database) forget(ctx context.Context, id string) {
	f := &e.forgotten
	f.mu.Lock()
	f.ids = append(f.ids, id)
	full := len(f.ids)%flushSize == 0
	f.mu.Unlock()
	if full && e.acquire() == nil {
		go func() {
			defer e.release()
			f.flush(ctx, e)
		}()
	}
}

// flush deletes the queued records, at an isolation level that conflicts with no commit.
func (f *forgotten) flush(ctx context.Context, e *database) {
	f.mu.Lock()
	ids := f.ids
	f.ids = nil
	f.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	failpoint.Here("postgres: before forgetting")
	err := e.runStatement(ctx, func(conn *pgxpool.Conn) error {
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ids) < maxForgotten {
		f.ids = append(f.ids, ids...) // for a later attempt
	}
}
