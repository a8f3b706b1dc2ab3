package logging

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/pasteline/pasteline/observe"
)

// A handler passes records to the sinks for their origin. It stays valid after a reload: it
// compares the state of the log with its binding, and binds again if they differ.
type handler struct {
	log    *Log
	origin origin
	group  bool                              // a group is open
	with   []func(slog.Handler) slog.Handler // add the attributes and groups to a sink
	bound  atomic.Pointer[binding]
}

// A binding has the sinks and the level of a handler in one state of the log.
type binding struct {
	state *state
	level Level // the lowest level of its sinks
	sinks []boundSink
}

type boundSink struct {
	level   Level
	handler slog.Handler
}

// Enabled compares a pointer and a number only.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return Level(level) >= h.bind().level
}

// Handle adds the id of the request that ctx belongs to.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if id := observe.ID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request", id))
	}
	var errs []error
	for _, s := range h.bind().sinks {
		if Level(r.Level) >= s.level {
			if err := s.handler.Handle(ctx, r); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	next := h.then(func(inner slog.Handler) slog.Handler { return inner.WithAttrs(attrs) })
	for _, a := range attrs {
		switch {
		case h.group || a.Value.Kind() != slog.KindString:
		case a.Key == "section": // set by pipeline.Build
			next.origin.section = a.Value.String()
		case a.Key == "logger": // set by filters with Python's setting for it
			next.origin.logger = a.Value.String()
		}
	}
	return next
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := h.then(func(inner slog.Handler) slog.Handler { return inner.WithGroup(name) })
	next.group = true
	return next
}

// failures is the logger of pyramid_exclog, which Python's sections may configure.
const failures = "exc_logger"

// Failures returns the handler for failures of requests: Python's sections can send the logger
// exc_logger elsewhere. Package handler calls it.
func (h *handler) Failures() slog.Handler {
	next := h.then(func(inner slog.Handler) slog.Handler { return inner })
	if next.origin.logger == "" {
		next.origin.logger = failures
	}
	return next
}

func (h *handler) then(step func(slog.Handler) slog.Handler) *handler {
	return &handler{
		log: h.log, origin: h.origin, group: h.group,
		with: append(slices.Clip(h.with), step),
	}
}

// bind returns the binding to the current state. Several goroutines may create equal ones at the
// same time.
func (h *handler) bind() *binding {
	state := h.log.state.Load()
	if b := h.bound.Load(); b != nil && b.state == state {
		return b
	}
	r := state.plan.route(h.origin)
	b := &binding{state: state, level: nothing}
	for _, i := range r.sinks {
		inner := state.handlers[i]
		for _, step := range h.with {
			inner = step(inner)
		}
		level := max(r.level, state.plan.sinks[i].level)
		b.level = min(b.level, level)
		b.sinks = append(b.sinks, boundSink{level, inner})
	}
	h.bound.Store(b)
	return b
}
