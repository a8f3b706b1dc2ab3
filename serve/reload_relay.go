package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/internal/form"
	"github.com/pasteline/pasteline/internal/underway"
)

// An app is what a relay hands requests to: a pipeline.
type app interface {
	http.Handler
	io.Closer
}

// A relay is the handler of a server whose app can be replaced while it serves. Every request is answered by the app that
// was the newest when it came. An app that has been replaced is closed when its last request has been answered; one that takes
// longer than the grace has its context cancelled, which ends streams properly.
type relay struct {
	grace   time.Duration
	logger  *slog.Logger
	newest  atomic.Pointer[generation]
	retired sync.WaitGroup // of those that were replaced, until they are closed
	ended   chan struct{}  // closed when nothing is waited for any more
}

func newRelay(a app, grace time.Duration, logger *slog.Logger) *relay {
	r := &relay{grace: grace, logger: logger, ended: make(chan struct{})}
	r.newest.Store(newGeneration(a))
	return r
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g := r.newest.Load()
	for !g.enter() { // it was replaced, and its last request answered, since the line above
		g = r.newest.Load()
	}
	defer g.leave()
	ctx := &requestContext{Context: req.Context(), replaced: g.replaced}
	defer ctx.end()
	g.running.Begin(&ctx.underway, req)
	defer g.running.End(&ctx.underway)
	ctx.request = *req.WithContext(ctx) //nolint:contextcheck // ctx is the one of req, with an end more
	defer form.HandBack(req, &ctx.request)
	g.app.ServeHTTP(w, &ctx.request)
}

// replace makes a the one that answers requests from now on.
func (r *relay) replace(a app) {
	old := r.newest.Swap(newGeneration(a))
	r.retired.Go(func() { r.retire(old) })
}

// retire closes what has been replaced, as soon as nobody uses it.
func (r *relay) retire(g *generation) {
	g.leave() // the relay itself
	grace := time.NewTimer(r.grace)
	defer grace.Stop()
	select {
	case <-g.idle:
	case <-r.ended:
	case <-grace.C:
		r.logger.Info("requests that still run in the old pipeline are asked to end", g.running.Attrs()...)
		g.cancel(errReplaced)
		said := time.AfterFunc(patience, func() {
			r.logger.Warn("requests in the old pipeline go on although they were asked to end, and keep it open", g.running.Attrs()...)
		})
		defer said.Stop()
		select {
		case <-g.idle:
		case <-r.ended:
		}
	}
	g.cancel(errReplaced)
	if err := g.app.Close(); err != nil {
		r.logger.Error("can't close the old pipeline", slog.Any("error", err))
		return
	}
	r.logger.Debug("the old pipeline is closed")
}

// close closes all there is. The server has ended by then: whoever has not answered in its time is not waited for.
func (r *relay) close() error {
	close(r.ended)
	_ = waitFor(r.logger, "the pipelines that were replaced", func() error { r.retired.Wait(); return nil })
	return waitFor(r.logger, "the pipeline", r.newest.Load().app.Close)
}

// patience is how long a part of the end may take before the log says what is waited for.
const patience = 3 * time.Second

// waitFor calls end, and logs what is waited for if that takes long.
func waitFor(logger *slog.Logger, what string, end func() error) error {
	said := time.AfterFunc(patience, func() { logger.Warn("shutting down takes long", slog.String("waiting_for", what)) })
	defer said.Stop()
	return end()
}

// errReplaced is why the context of a request is cancelled that has outlived the grace.
var errReplaced error = replacedError{}

type replacedError struct{}

func (replacedError) Error() string {
	return "the pipeline has been replaced, and the time for its last requests is over"
}

// Is says that it is no fault of the server when a stream ends in the middle of something, and that its time is over when a
// request does, to which tm and retry give an answer.
func (replacedError) Is(target error) bool {
	return target == context.Canceled || target == context.DeadlineExceeded
}

// A generation is an app with its users: the relay, for as long as it is the newest, and each of its requests.
type generation struct {
	app      app
	running  underway.Set
	users    atomic.Int64  // once there is none, there is never one again
	idle     chan struct{} // closed when there is none
	replaced context.Context
	cancel   context.CancelCauseFunc
}

func newGeneration(a app) *generation {
	g := &generation{app: a, idle: make(chan struct{})}
	g.users.Store(1)
	g.replaced, g.cancel = context.WithCancelCause(context.Background())
	return g
}

func (g *generation) enter() bool {
	for {
		n := g.users.Load()
		if n == 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *generation) leave() {
	if g.users.Add(-1) == 0 {
		close(g.idle)
	}
}

// A requestContext is the context of a request that is also done when the replaced one is. To join two contexts costs more
// than all else that a relay does, and most handlers never wait for their context: so it is done when somebody asks for Done,
// or when there is an end to tell of.
type requestContext struct {
	context.Context // the request's own
	replaced        context.Context
	underway        underway.Request
	request         http.Request // with this context; a field, so that the two cost one allocation

	joined atomic.Pointer[joinedContext] // nil before somebody asks; written with mu held
	mu     sync.Mutex                    // guards ended
	ended  bool
}

type joinedContext struct {
	context.Context
	stop func() // of a use that has ended
}

// Done is closed when the request's own context is done, or its pipeline has been replaced for too long.
func (c *requestContext) Done() <-chan struct{} { return c.join().Done() }

// Err is not nil when Done is closed.
func (c *requestContext) Err() error {
	if c.joined.Load() == nil && c.replaced.Err() == nil {
		return c.Context.Err()
	}
	return c.join().Err() // and so the cause is known, too
}

// join makes one context of the two, the first time.
func (c *requestContext) join() *joinedContext {
	if joined := c.joined.Load(); joined != nil {
		return joined
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if joined := c.joined.Load(); joined != nil {
		return joined
	}
	ctx, cancel := context.WithCancelCause(c.Context)
	joined := &joinedContext{ctx, func() { cancel(nil) }}
	if !c.ended { // else nobody is to hear of it any more, and the request's own is done in a moment
		if c.replaced.Err() != nil {
			cancel(context.Cause(c.replaced)) // at once, as Err has it
		}
		unhook := context.AfterFunc(c.replaced, func() { cancel(context.Cause(c.replaced)) })
		joined.stop = func() {
			unhook()
			cancel(nil)
		}
	}
	c.joined.Store(joined)
	return joined
}

// Value is that of the request's own context, but for what package context asks: a context that is made from this one is to
// hear of its end without a goroutine of its own.
func (c *requestContext) Value(key any) any {
	if joined := c.joined.Load(); joined != nil {
		return joined.Value(key)
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *requestContext) String() string { return "serve.relay" }

// end lets go of what join has made.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if joined := c.joined.Load(); joined != nil {
		joined.stop()
	}
}
