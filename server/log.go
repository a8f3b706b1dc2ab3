package server

import (
	"context"
	"log/slog"
	"strings"
)

// A connectionHandler assigns levels to the messages of net/http's error log: debug for errors of
// clients, warning for errors of handlers, and error if no connection can be accepted.
type connectionHandler struct{ slog.Handler }

// Enabled reports whether any level that Handle may choose is enabled.
func (h connectionHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelError)
}

func (h connectionHandler) Handle(ctx context.Context, r slog.Record) error {
	message := strings.TrimPrefix(r.Message, "http: ")
	level := slog.LevelDebug
	switch {
	case strings.HasPrefix(message, "Accept error"), strings.Contains(message, "panic"),
		// of package handler
		strings.HasPrefix(message, "a request failed"), strings.HasPrefix(message,
			"a response was cut"):
		level = slog.LevelError
	case strings.HasPrefix(message, "superfluous"):
		level = slog.LevelWarn
	}
	if !h.Handler.Enabled(ctx, level) {
		return nil
	}
	own := slog.NewRecord(r.Time, level, "http server", r.PC)
	own.AddAttrs(slog.String("what", message))
	return h.Handler.Handle(ctx, own)
}
