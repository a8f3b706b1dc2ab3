package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A journal holds what is to be logged until no lock is held: the log's handler is code of the app's, which may use the very
// session or transaction that it is told of.
type journal struct {
	logger *slog.Logger

	waits atomic.Bool // there are records
	mu    sync.Mutex  // guards records
	list  []line
}

type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// add may be called with any lock held.
func (j *journal) add(level slog.Level, message string, attrs ...slog.Attr) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, line{level, message, attrs})
	j.waits.Store(true)
}

// write logs what was added, by this goroutine or another. It is called with no lock held.
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
		j.logger.LogAttrs(ctx, r.level, r.message, r.attrs...) //nolint:sloglint // constants of the callers
	}
}
