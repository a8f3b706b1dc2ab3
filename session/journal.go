package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A journal queues log records until no lock is held: the log's handler is the app's code and may
// use the session or transaction that a record is about.
type journal struct {
	logger *slog.Logger

	waits atomic.Bool // list is not empty
	mu    sync.Mutex  // guards list
	list  []line
}

type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// add queues a record. It may be called with any lock held.
func (j *journal) add(level slog.Level, message string, attrs ...slog.Attr) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, line{level, message, attrs})
	j.waits.Store(true)
}

// write logs the queued records, also those of other goroutines. It must be called without locks.
func (j *journal) write(ctx context.Context) {
	if !j.waits.Load() {
		return
	}
	j.mu.Lock()
	list := j.list
	j.list = nil
	j.waits.Store(false)
	j.mu.Unlock()
	for _, r := range list {
		//nolint:sloglint // messages are constants of the callers of add
		j.logger.LogAttrs(ctx, r.level, r.message, r.attrs...)
	}
}
