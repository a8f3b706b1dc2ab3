package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// A Relay is a relay.
type Relay struct{ *relay }

// NewRelay is newRelay.
func NewRelay(a App, grace time.Duration, logger *slog.Logger) Relay {
	return Relay{newRelay(a, grace, logger)}
}

// App is what a relay hands requests to.
type App interface {
	http.Handler
	io.Closer
}

// Replace is replace.
func (r Relay) Replace(a App) { r.replace(a) }

// Close is close.
func (r Relay) Close() error { return r.close() }

// NewReading returns a ReadFile, and the changed of what it has read.
func NewReading() (readFile func(string) ([]byte, error),
	changed func(context.Context, time.Duration) bool,
) {
	r := newReading()
	return r.ReadFile, r.changed
}
