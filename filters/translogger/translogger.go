package translogger

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/mount"
)

// New returns the filter. The error is that of [Config.Validate]. The filter is safe for concurrent
// use.
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
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			log.serve(w, r, next)
		})
	}, nil
}

// An accessLog writes the log.
type accessLog struct {
	Config
	format format

	mu sync.Mutex // held while writing to Output
}

func (l *accessLog) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	e := entry{
		Writer:  sent.Writer{ResponseWriter: w},
		request: r,
		start:   time.Now(),
		method:  r.Method,
		path:    mount.Join(r.Context(), r.URL.EscapedPath()),
		query:   r.URL.RawQuery,
		addr:    r.RemoteAddr,
	}
	defer func() {
		p := recover()
		//nolint:errorlint // a panic's value, compared as by net/http
		e.panicked = !e.returned && p != http.ErrAbortHandler
		l.finish(r.Context(), &e)
		if p != nil {
			panic(p) // unchanged; the stack is still the handler's
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
		e.Bytes = 0 // the server does not send them
	}
	if l.Logger != nil {
		ctx = context.WithoutCancel(ctx) // logs a request whose client has disconnected, too
		if len(l.format) > 0 {
			//nolint:sloglint // the message is the line, as in the original
			l.Logger.LogAttrs(ctx, l.Level, string(l.format.appendTo(nil, e)))
		} else {
			l.Logger.LogAttrs(ctx, l.Level, "request", e.attrs()...)
		}
	}
	if l.Output == nil {
		return
	}
	line, ok := lines.Get().(*[]byte)
	if !ok {
		panic("translogger: the pool holds a value of another type")
	}
	*line = append(l.format.appendTo((*line)[:0], e), '\n')
	l.mu.Lock()
	_, _ = l.Output.Write(*line) // an error can't be reported anywhere
	l.mu.Unlock()
	if cap(*line) <= 16<<10 {
		lines.Put(line)
	}
}

var lines = sync.Pool{New: func() any { return new([]byte) }}

// An entry is the data of one request.
type entry struct {
	sent.Writer
	request  *http.Request
	start    time.Time
	duration time.Duration
	returned bool // the handler returned, without a panic
	panicked bool // the handler panicked with another value than http.ErrAbortHandler
	cut      bool // the response was cut off, which the client notices from its framing

	// the incoming values: a handler may change its request, although it should not
	method, path, query, addr string
}

// wasCut reports whether the response was or will be cut off: the handler panicked after the
// response had begun, or with http.ErrAbortHandler; or the request failed after a flush, so that
// the filter around this one will cut the response off.
func (e *entry) wasCut(ctx context.Context) bool {
	if !e.returned {
		return !e.Hijacked && (e.Begun() || !e.panicked)
	}
	result, ok := attempt.FromContext(ctx)
	return ok && e.Flushed && !e.Hijacked && result.Err() != nil
}

// silentStatus returns the status for a handler that wrote nothing, and either returned or
// panicked.
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

// uri returns the path as the client sees it, with the query.
func (e *entry) uri() string {
	if e.query == "" {
		return e.path
	}
	return e.path + "?" + e.query
}

// attrs returns the attributes of a record.
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
