package translogger

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/sent"
	"github.com/pasteline/pasteline/mount"
)

// New returns the filter. The error is that of [Config.Validate]. The filter is safe for concurrent use.
func New(c Config) (func(http.Handler) http.Handler, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log := &accessLog{Config: c}
	if c.Output != nil && c.Format == "" {
		c.Format = "combined"
	}
	var err error
	if log.format, err = parseFormat(c.Format); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { log.serve(w, r, next) })
	}, nil
}

// An accessLog is what is written to.
type accessLog struct {
	Config
	format format

	mu sync.Mutex // held while writing to Output
}

func (l *accessLog) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	e := entry{
		Writer: sent.Writer{ResponseWriter: w}, request: r, start: time.Now(),
		method: r.Method, path: mount.Join(r.Context(), r.URL.EscapedPath()), query: r.URL.RawQuery, addr: r.RemoteAddr,
	}
	defer func() { //nolint:contextcheck // r has it; a handler that panics has its line, too
		p := recover()
		e.panicked = !e.returned && p != http.ErrAbortHandler //nolint:errorlint // a panic's value, compared as by net/http
		l.finish(r.Context(), &e)
		if p != nil {
			panic(p) // as it came; the stack is still that of the handler
		}
	}()
	next.ServeHTTP(&e.Writer, r)
	e.returned = true
}

// finish completes an entry and writes it.
func (l *accessLog) finish(ctx context.Context, e *entry) {
	e.duration = time.Since(e.start)
	e.cut = e.wasCut(ctx)
	if e.Status == 0 {
		e.Status = silentStatus(ctx, e.returned)
	}
	if e.method == http.MethodHead {
		e.Bytes = 0 // the server has dropped them
	}
	if l.Logger != nil {
		ctx = context.WithoutCancel(ctx) // a client that has gone is logged as others are
		if len(l.format) > 0 {
			l.Logger.LogAttrs(ctx, l.Level, string(l.format.appendTo(nil, e))) //nolint:sloglint // the message is the line, as in the original
		} else {
			l.Logger.LogAttrs(ctx, l.Level, "request", e.attrs()...)
		}
	}
	if l.Output == nil {
		return
	}
	line, ok := lines.Get().(*[]byte)
	if !ok {
		panic("translogger: the pool holds something else")
	}
	*line = append(l.format.appendTo((*line)[:0], e), '\n')
	l.mu.Lock()
	_, _ = l.Output.Write(*line) // there is nowhere to report to
	l.mu.Unlock()
	if cap(*line) <= 16<<10 {
		lines.Put(line)
	}
}

var lines = sync.Pool{New: func() any { return new([]byte) }}

// An entry is what is known of one request.
type entry struct {
	sent.Writer
	request  *http.Request
	start    time.Time
	duration time.Duration
	returned bool // the handler has, without a panic
	panicked bool // not to abort
	cut      bool // the response ended before its end, which the client sees from its framing

	method, path, query, addr string // as they came: handlers change requests that they should not
}

// wasCut reports whether the response has been cut, or will be: the handler did not return after it had begun, or aborted it; or it
// has failed after a flush, which makes the filter that stands around this one cut it.
func (e *entry) wasCut(ctx context.Context) bool {
	if !e.returned {
		return !e.Hijacked && (e.Begun() || !e.panicked)
	}
	result, ok := attempt.FromContext(ctx)
	return ok && e.Flushed && !e.Hijacked && result.Err() != nil
}

// silentStatus is the status of a handler that has written nothing; it has returned, or else it panicked.
func silentStatus(ctx context.Context, returned bool) int {
	if !returned {
		return http.StatusInternalServerError
	}
	if result, ok := attempt.FromContext(ctx); ok && result.Err() != nil {
		return attempt.Status(result.Err())
	}
	return http.StatusOK
}

func (e *entry) remoteAddr() string {
	if host, _, err := net.SplitHostPort(e.addr); err == nil {
		return host
	}
	return e.addr
}

func (e *entry) user() string {
	user, _, _ := e.request.BasicAuth()
	return user
}

// uri is the path as the visitor sees it, with the query.
func (e *entry) uri() string {
	if e.query == "" {
		return e.path
	}
	return e.path + "?" + e.query
}

// attrs are the attributes of a record.
func (e *entry) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("method", e.method),
		slog.String("uri", e.uri()),
		slog.String("proto", e.request.Proto),
		slog.Int("status", e.Status),
		slog.Int64("bytes", e.Bytes),
		slog.Duration("duration", e.duration),
		slog.String("remote_addr", e.remoteAddr()),
	}
	for _, optional := range [...]slog.Attr{
		slog.String("user", e.user()),
		slog.String("referer", e.request.Header.Get("Referer")),
		slog.String("user_agent", e.request.Header.Get("User-Agent")),
	} {
		if optional.Value.String() != "" {
			attrs = append(attrs, optional)
		}
	}
	if e.cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	if e.panicked {
		attrs = append(attrs, slog.Bool("panicked", true))
	}
	return attrs
}
