package session_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/session"
)

// usingHandler is a log handler that uses the session of a request for each record.
type usingHandler struct {
	slog.Handler
	use func(message string)
}

func (h usingHandler) Handle(_ context.Context, r slog.Record) error {
	h.use(r.Message)
	return nil
}

// A log handler may use the session and the manager that a record is about.
func TestLogHandlerUsesSession(t *testing.T) {
	t.Parallel()
	var told []string
	use := func(string) {}
	f := newFixture(t, session.Config{Logger: slog.New(usingHandler{slog.NewTextHandler(t.Output(),
		nil), func(message string) {
		told = append(told, message)
		use(message)
	}})})
	f.set(t, "good", map[string]any{"n": 1})
	f.set(t, "bad", map[string]any{"n": 1})
	do(t, func(ctx context.Context) { must(t, f.PutRecord(ctx, "bad", "?", nil)) })
	for _, jump := range []time.Duration{0, time.Hour, -2 * time.Hour} {
		f.clock.jump(jump)
		do(t, func(ctx context.Context) {
			use = func(message string) {
				use = func(string) {} // records of this call must not call the handler again
				for _, id := range []string{"good", "bad"} {
					must(t, f.get(ctx, t, id).Set("told", message))
				}
			}
			defer func() { use = func(string) {} }()
			f.get(ctx, t, "bad")
			f.get(ctx, t, "good")
		})
	}
	f.clock.jump(4 * time.Hour)
	use = func(string) { f.set(t, "good", map[string]any{"told": "by a sweep"}) }
	_, err := f.Sweep(t.Context())
	must(t, err)
	if got := strings.Join(told, "\n"); strings.Count(got, "a session can't be read") != 1 ||
		strings.Count(got, "the clock jumped") != 3 {
		t.Errorf("got %q", told)
	}
}
