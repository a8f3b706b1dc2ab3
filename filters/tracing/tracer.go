package tracing

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
)

// A Config configures a [Tracer].
type Config struct {
	// Provider makes the spans. It is required.
	Provider trace.TracerProvider

	// Public links the trace of a client instead of continuing it.
	Public bool
}

// A Tracer makes spans. It is safe for concurrent use by multiple goroutines.
type Tracer struct {
	tracer trace.Tracer
	public bool
}

var (
	_ observe.AttemptListener     = (*Tracer)(nil)
	_ observe.TransactionListener = (*Tracer)(nil)
	_ observe.StorageListener     = (*Tracer)(nil)
	_ observe.StatementListener   = (*Tracer)(nil)
	_ observe.ResponseListener    = (*Tracer)(nil)
)

// New returns a Tracer. [Tracer.Middleware] makes the spans of requests; as a listener it adds to
// them what it is told.
func New(c Config) *Tracer {
	return &Tracer{
		tracer: c.Provider.Tracer("github.com/pasteline/pasteline/filters/tracing"), public: c.Public,
	}
}

// otherMethod is the attribute of a method that is not one of HTTP's own.
const otherMethod = "_OTHER"

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// Middleware wraps a handler: each request gets a span.
func (t *Tracer) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.start(r)
		out := &sent.Writer{ResponseWriter: w}
		panicked := true
		defer func() { end(ctx, span, r, out.Status, panicked) }()
		own := r.WithContext(ctx)
		defer formfiles.HandBack(r, own)
		next.ServeHTTP(out, own)
		panicked = false
	})
}

// start begins the span of a request.
func (t *Tracer) start(r *http.Request) (context.Context, trace.Span) {
	ctx := r.Context()
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	remote := propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	if from := trace.SpanContextFromContext(remote); from.IsRemote() && from.IsValid() {
		if t.public {
			options = append(options, trace.WithNewRoot(),
				trace.WithLinks(trace.Link{SpanContext: from}))
		} else {
			ctx = remote
		}
	}
	host, port := r.Host, ""
	if name, number, err := net.SplitHostPort(r.Host); err == nil {
		host, port = name, number
	}
	client := r.RemoteAddr
	if name, _, err := net.SplitHostPort(client); err == nil {
		client = name
	}
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", method(r)),
		attribute.String("url.path", mount.FromContext(ctx)+r.URL.Path),
		attribute.String("url.scheme", mount.Scheme(r)),
		attribute.String("server.address", host),
		attribute.String("client.address", client),
		attribute.String("network.protocol.version", strings.TrimSuffix(
			strings.TrimPrefix(r.Proto, "HTTP/"), ".0")),
	}
	if number, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int("server.port", number))
	}
	if agent := r.UserAgent(); agent != "" {
		attributes = append(attributes, attribute.String("user_agent.original", agent))
	}
	if id := observe.ID(ctx); id != "" {
		attributes = append(attributes, attribute.String("pasteline.request.id", id))
	}
	options = append(options, trace.WithAttributes(attributes...))
	return t.tracer.Start(ctx, spanName(r, ""), options...)
}

func method(r *http.Request) string {
	if slices.Contains(methods, r.Method) {
		return r.Method
	}
	return otherMethod
}

// spanName returns "METHOD route", or the method alone.
func spanName(r *http.Request, route string) string {
	name := method(r)
	if name == otherMethod {
		name = "HTTP"
	}
	return strings.TrimSuffix(name+" "+route, " ")
}

// end ends the span of a request.
func end(ctx context.Context, span trace.Span, r *http.Request, status int, panicked bool) {
	if status == 0 { // as the server is going to answer
		status = http.StatusOK
		if panicked {
			status = http.StatusInternalServerError
		}
	}
	known := observe.FromContext(ctx).Summary()
	span.SetName(spanName(r, known.Route))
	span.SetAttributes(
		attribute.Int("http.response.status_code", status),
		attribute.String("pasteline.app", known.App),
		attribute.Int("pasteline.attempts", known.Attempts),
		attribute.String("pasteline.outcome", string(known.Outcome)),
	)
	if known.Route != "" {
		span.SetAttributes(attribute.String("http.route", known.Route))
	}
	switch {
	case panicked:
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", "panic"))
	case status >= http.StatusInternalServerError:
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
	}
	span.End()
}

// RequestStart does nothing: the middleware makes the span.
func (t *Tracer) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}

// RequestEnd does nothing.
func (t *Tracer) RequestEnd(context.Context, observe.RequestEnd) {}

type attemptKey struct{}

// An attempt collects what belongs to the span of its commit.
type attempt struct {
	mu    sync.Mutex
	group *observe.Group
}

// AttemptStart begins the span of an attempt.
func (t *Tracer) AttemptStart(ctx context.Context, f observe.AttemptStart) context.Context {
	if !recording(ctx) {
		return ctx
	}
	ctx, _ = t.tracer.Start(ctx, "attempt", trace.WithTimestamp(f.Time), trace.WithAttributes(
		attribute.Int("pasteline.attempt.number", f.Number),
		attribute.Int("pasteline.attempt.tries", f.Tries)))
	return context.WithValue(ctx, attemptKey{}, &attempt{})
}

// AttemptEnd ends the span of an attempt.
func (t *Tracer) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	if ctx.Value(attemptKey{}) == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attribute.String("pasteline.outcome", string(f.Outcome)),
		attribute.Bool("pasteline.attempt.again", f.Again))
	fail(span, f.Err)
	span.End(trace.WithTimestamp(f.Start.Add(f.Duration)))
}

// fail makes a span an error. The text of err may quote data of the app, so only its type is shown.
func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
	}
}

// recording reports whether ctx belongs to a span that is recorded.
func recording(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// child makes a span of something that has ended.
func (t *Tracer) child(ctx context.Context, name string, kind trace.SpanKind, start time.Time,
	duration time.Duration, err error, attributes ...attribute.KeyValue,
) {
	if !recording(ctx) {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(start), trace.WithSpanKind(kind),
		trace.WithAttributes(attributes...))
	fail(span, err)
	span.End(trace.WithTimestamp(start.Add(duration)))
}

// Joined adds an event to the span of the attempt.
func (t *Tracer) Joined(ctx context.Context, f observe.Join) {
	trace.SpanFromContext(ctx).AddEvent("joined",
		trace.WithAttributes(attribute.String("pasteline.manager", f.Manager)))
}

// CommitStart does nothing: the span is made at the end.
func (t *Tracer) CommitStart(context.Context, observe.CommitStart) {}

// CommitEnd makes the span of a commit.
func (t *Tracer) CommitEnd(ctx context.Context, f observe.CommitEnd) {
	attributes := []attribute.KeyValue{attribute.Int("pasteline.commit.managers", f.Managers)}
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.mu.Lock()
		if a.group != nil {
			attributes = append(attributes,
				attribute.Int("pasteline.commit.group_size", a.group.Size),
				attribute.Float64("pasteline.commit.write_seconds", a.group.Write.Seconds()))
		}
		a.mu.Unlock()
	}
	t.child(ctx, "commit", trace.SpanKindInternal, f.Start, f.Duration, f.Err, attributes...)
}

// Decided does nothing: the span of the attempt has the outcome.
func (t *Tracer) Decided(context.Context, observe.Decision) {}

// Conflicted adds an event to the span of the attempt.
func (t *Tracer) Conflicted(ctx context.Context, f observe.Conflict) {
	trace.SpanFromContext(ctx).AddEvent("conflict", trace.WithAttributes(
		attribute.String("pasteline.database", f.DB),
		attribute.String("pasteline.bucket", f.Bucket),
		attribute.String("pasteline.key", f.Key),
		attribute.String("pasteline.with", f.With)))
}

// Queued makes the span of a wait.
func (t *Tracer) Queued(ctx context.Context, f observe.Queue) {
	t.child(ctx, "queue", trace.SpanKindInternal, f.Start, f.Duration, nil,
		attribute.String("pasteline.database", f.DB),
		attribute.String("pasteline.bucket", f.Bucket),
		attribute.String("pasteline.key", f.Key),
		attribute.Int("pasteline.queue.ahead", f.Ahead),
		attribute.Bool("pasteline.queue.granted", f.Granted))
}

// Grouped keeps the group for the span of the commit.
func (t *Tracer) Grouped(ctx context.Context, f observe.Group) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.group = &f
	}
}

// StatementEnd makes the span of an SQL statement.
func (t *Tracer) StatementEnd(ctx context.Context, f observe.Statement) {
	operation, _, _ := strings.Cut(strings.TrimSpace(f.SQL), " ")
	operation = strings.ToUpper(operation)
	t.child(ctx, cmp.Or(operation, "SQL"), trace.SpanKindClient, f.Start, f.Duration, f.Err,
		attribute.String("db.system.name", system(f.DB)),
		attribute.String("db.operation.name", operation),
		attribute.String("db.query.text", f.SQL))
}

// system returns the kind of a database by its name, which is a URI.
func system(db string) string {
	scheme, _, _ := strings.Cut(db, ":")
	switch scheme {
	case "postgres", "postgresql":
		return "postgresql"
	case "mysql", "mariadb", "sqlite":
		return scheme
	}
	return "other_sql"
}

// Released adds an event.
func (t *Tracer) Released(ctx context.Context, f observe.Release) {
	trace.SpanFromContext(ctx).AddEvent("released",
		trace.WithAttributes(attribute.Bool("pasteline.hijacked", f.Hijacked)))
}

// Spooled adds an event.
func (t *Tracer) Spooled(ctx context.Context, f observe.Spool) {
	trace.SpanFromContext(ctx).AddEvent("spooled", trace.WithAttributes(
		attribute.Bool("pasteline.response", f.Response),
		attribute.Int64("pasteline.bytes", f.Bytes)))
}
