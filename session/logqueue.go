package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A logQueue holds log records back until no lock is held: the log's handler is the app's code and
// may use the session or transaction that a record describes.
type logQueue struct {
	logger *slog.Logger

	pending atomic.Bool // list is not empty
	mu      sync.Mutex  // guards list
	list    []line
}

type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// add queues a record. It may be called with any lock held.
func (q *logQueue) add(level slog.Level, message string, attrs ...slog.Attr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, line{level, message, attrs})
	q.pending.Store(true)
}

// write logs the queued records, also those of other goroutines. It must be called without locks.
func (q *logQueue) write(ctx context.Context) {
	if !q.pending.Load() {
		return
	}
	q.mu.Lock()
	list := q.list
	q.list = nil
	q.pending.Store(false)
	q.mu.Unlock()
	for _, r := range list {
		//nolint:sloglint // messages are constants of the callers of add
		q.logger.LogAttrs(ctx, r.level, r.message, r.attrs...)
	}
}
