package site

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// BallastSize and NewBallast are ballastSize and newBallast.
const BallastSize = ballastSize

var NewBallast = newBallast

// A Relay is a relay.
type Relay struct{ *relay }

// NewRelay is newRelay.
func NewRelay(a App, grace time.Duration, logger *slog.Logger) Relay {
	return Relay{newRelay(a, grace, logger)}
}

// App is the type of the apps of a relay.
type App interface {
	http.Handler
	io.Closer
}

// Replace is replace.
func (r Relay) Replace(a App) { r.replace(a) }

// Close is close.
func (r Relay) Close() error { return r.close() }

// NewSources returns the methods ReadFile and changed of newSources.
func NewSources() (readFile func(string) ([]byte, error),
	changed func(context.Context, time.Duration) bool,
) {
	s := newSources()
	return s.ReadFile, s.changed
}
