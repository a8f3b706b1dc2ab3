package logging

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
)

// A handler hands lines to the sinks of where they come from. Those who hold one need not know of reloads: it finds out by
// itself that the log has another state, and takes up what that has for it.
type handler struct {
	log    *Log
	origin origin
	group  bool                              // whether attributes are in a group by now
	with   []func(slog.Handler) slog.Handler // the attributes and groups, to be applied to the sinks
	bound  atomic.Pointer[binding]
}

// A binding is what a state of the log has for a handler.
type binding struct {
	state *state
	level Level // the least that any sink takes
	sinks []boundSink
}

type boundSink struct {
	level   Level
	handler slog.Handler
}

// Enabled costs a comparison of two pointers and one of two numbers.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return Level(level) >= h.bind().level
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
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
		case a.Key == "section": // as pipeline.Build has it
			next.origin.section = a.Value.String()
		case a.Key == "logger": // as a setting of Python's filters names one
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

// failures is the logger of pyramid_exclog, which Python's sections may name.
const failures = "exc_logger"

// Failures returns the handler for reports that a request has failed: in Python's sections, the logger exc_logger may have them go
// elsewhere. Package outcome asks for it.
func (h *handler) Failures() slog.Handler {
	next := h.then(func(inner slog.Handler) slog.Handler { return inner })
	if next.origin.logger == "" {
		next.origin.logger = failures
	}
	return next
}

func (h *handler) then(step func(slog.Handler) slog.Handler) *handler {
	return &handler{log: h.log, origin: h.origin, group: h.group, with: append(slices.Clip(h.with), step)}
}

// bind returns the binding to the present state. Several goroutines may make one at the same time; they are equal.
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
