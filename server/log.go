package server

import (
	"context"
	"log/slog"
	"strings"
)

// A connectionHandler gives what net/http says in its error log a level: what clients do wrong is for debugging, what
// handlers do wrong is a warning, and that no connection can be accepted is an error.
type connectionHandler struct{ slog.Handler }

// Enabled answers for every level that Handle may choose.
func (h connectionHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelError)
}

func (h connectionHandler) Handle(ctx context.Context, r slog.Record) error {
	message := strings.TrimPrefix(r.Message, "http: ")
	level := slog.LevelDebug
	switch {
	case strings.HasPrefix(message, "Accept error"), strings.Contains(message, "panic"),
		strings.HasPrefix(message, "a request failed"), strings.HasPrefix(message, "a response was cut"): // of package handler
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
