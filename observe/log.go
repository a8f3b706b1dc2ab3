package observe

import (
	"context"
	"log/slog"
)

// NewLog returns a listener that logs, at the level debug, one record for each request when it ends,
// and one for each lost attempt, wait in a queue and sweep. The loader adds it if its logger is
// enabled for that level.
func NewLog(logger *slog.Logger) Listener { return &log{logger} }

type log struct{ logger *slog.Logger }

func (l *log) RequestStart(ctx context.Context, _ RequestStart) context.Context { return ctx }

func (l *log) RequestEnd(ctx context.Context, f RequestEnd) {
	l.log(ctx, "request ended",
		slog.String("method", f.Method), slog.String("path", f.Path),
		slog.String("app", f.App), slog.String("route", f.Route), slog.Int("status", f.Status),
		slog.Int64("bytes", f.Bytes), slog.String("outcome", string(f.Outcome)),
		slog.Int("attempts", f.Attempts), slog.Int("conflicts", f.Conflicts),
		slog.Duration("duration", f.Duration))
}

func (l *log) Conflicted(ctx context.Context, f Conflict) {
	l.log(ctx, "attempt lost", slog.String("db", f.DB), slog.String("bucket", f.Bucket),
		slog.String("key", f.Key), slog.String("with", f.With))
}

func (l *log) Queued(ctx context.Context, f Queue) {
	l.log(ctx, "queued", slog.String("db", f.DB), slog.String("bucket", f.Bucket),
		slog.String("key", f.Key), slog.Int("ahead", f.Ahead), slog.Bool("granted", f.Granted),
		slog.Duration("duration", f.Duration))
}

func (l *log) Swept(ctx context.Context, f Sweep) {
	l.log(ctx, "swept", slog.Int("ended", f.Ended), slog.Duration("duration", f.Duration))
}

func (l *log) Grouped(context.Context, Group)                {}
func (l *log) Joined(context.Context, Join)                  {}
func (l *log) CommitStart(context.Context, CommitStart)      {}
func (l *log) CommitEnd(context.Context, CommitEnd)          {}
func (l *log) Decided(context.Context, Decision)             {}
func (l *log) SessionChanged(context.Context, SessionChange) {}

func (l *log) log(ctx context.Context, message string, attrs ...slog.Attr) {
	//nolint:sloglint // the messages are constants above
	l.logger.LogAttrs(ctx, slog.LevelDebug, message, attrs...)
}
