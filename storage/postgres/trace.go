package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/observe"
)

// A tracer tells the listeners of a request about the statements on its connection: those of this
// package and those that the app runs in the same transaction.
type tracer struct{ db string }

// A traced is the statement, or the batch, that a context belongs to.
type traced struct {
	sql   string
	start time.Time // of a batch: of its current statement
}

type tracedKey struct{}

// TraceQueryStart is called by pgx before a statement.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn,
	data pgx.TraceQueryStartData,
) context.Context {
	if !observe.FromContext(ctx).Listening() {
		return ctx
	}
	return context.WithValue(ctx, tracedKey{}, &traced{data.SQL, time.Now()})
}

// TraceQueryEnd is called by pgx after a statement.
func (t tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if q, ok := ctx.Value(tracedKey{}).(*traced); ok {
		t.tell(ctx, q.sql, data.Err, q.start, time.Now())
	}
}

// TraceBatchStart is called by pgx before statements that are sent together.
func (t tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn,
	_ pgx.TraceBatchStartData,
) context.Context {
	return t.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{})
}

// TraceBatchQuery is called by pgx when the result of a statement of a batch has been read.
func (t tracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	if q, ok := ctx.Value(tracedKey{}).(*traced); ok {
		now := time.Now()
		t.tell(ctx, data.SQL, data.Err, q.start, now)
		q.start = now
	}
}

// TraceBatchEnd is called by pgx after a batch.
func (t tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (t tracer) tell(ctx context.Context, sql string, err error, start, end time.Time) {
	observe.FromContext(ctx).StatementEnd(ctx, observe.Statement{
		DB: t.db, SQL: sql, Err: err, Start: start, Duration: end.Sub(start),
	})
}
