package inspector

import (
	"context"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/observe"
)

// A listener records the requests and jobs of one pipeline, and counts them in the state.
type listener struct {
	picture.Listener

	state *state
}

// RequestStart implements [observe.RequestListener].
func (l *listener) RequestStart(ctx context.Context, f observe.RequestStart) context.Context {
	ctx = l.Listener.RequestStart(ctx, f)
	l.state.begin(l.Find(ctx))
	return ctx
}

// RequestEnd implements [observe.RequestListener].
func (l *listener) RequestEnd(ctx context.Context, f observe.RequestEnd) {
	l.Listener.RequestEnd(ctx, f)
	if r := l.Find(ctx); r != nil {
		l.state.end(r)
	}
}

// JobStart implements [observe.JobListener].
func (l *listener) JobStart(ctx context.Context, f observe.JobStart) context.Context {
	ctx = l.Listener.JobStart(ctx, f)
	l.state.begin(l.Find(ctx))
	return ctx
}

// JobEnd implements [observe.JobListener].
func (l *listener) JobEnd(ctx context.Context, f observe.JobEnd) {
	l.Listener.JobEnd(ctx, f)
	if r := l.Find(ctx); r != nil {
		l.state.end(r)
	}
}

// AttemptEnd implements [observe.AttemptListener].
func (l *listener) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	l.Listener.AttemptEnd(ctx, f)
	if r := l.Find(ctx); r != nil && !r.Discarded() {
		if r.Job() == "" {
			l.state.attempted(f.Outcome)
		}
		l.state.used(r.Used(f.Number))
	}
}

// Queued implements [observe.StorageListener].
func (l *listener) Queued(ctx context.Context, f observe.Queue) {
	l.Listener.Queued(ctx, f)
	if r := l.Find(ctx); r != nil && !r.Discarded() {
		l.state.queued(f)
	}
}

// SessionChanged implements [observe.SessionListener].
func (l *listener) SessionChanged(ctx context.Context, f observe.SessionChange) {
	l.Listener.SessionChanged(ctx, f)
	l.state.sessionChanged(f.Change)
}
