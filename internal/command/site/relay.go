package site

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/inflight"
)

// An app is a pipeline to which a relay forwards requests.
type app interface {
	http.Handler
	io.Closer
}

// A relay is the handler of a server whose app can be replaced while it serves. Each request is
// answered by the app that was the newest when it arrived. A replaced app is closed after its last
// request; if one takes longer than the grace time, its context is cancelled, which ends streams
// properly.
type relay struct {
	grace   time.Duration
	logger  *slog.Logger
	newest  atomic.Pointer[generation]
	retired sync.WaitGroup // counts replaced apps until they are closed
	ended   chan struct{}  // closed when close must not wait any longer
}

func newRelay(a app, grace time.Duration, logger *slog.Logger) *relay {
	r := &relay{grace: grace, logger: logger, ended: make(chan struct{})}
	r.newest.Store(newGeneration(a))
	return r
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g := r.newest.Load()
	for !g.enter() { // replaced and idle since it was loaded
		g = r.newest.Load()
	}
	defer g.leave()
	ctx := &requestContext{Context: req.Context(), replaced: g.replaced}
	defer ctx.end()
	g.running.Begin(&ctx.underway, req)
	defer g.running.End(&ctx.underway)
	ctx.request = *req.WithContext(ctx) //nolint:contextcheck // ctx is derived from req's
	defer formfiles.HandBack(req, &ctx.request)
	g.app.ServeHTTP(w, &ctx.request)
}

// replace makes a the app for all further requests.
func (r *relay) replace(a app) {
	old := r.newest.Swap(newGeneration(a))
	r.retired.Go(func() { r.retire(old) })
}

// retire closes a replaced app as soon as it is idle.
func (r *relay) retire(g *generation) {
	g.leave() // the relay's own use
	grace := time.NewTimer(r.grace)
	defer grace.Stop()
	select {
	case <-g.idle:
	case <-r.ended:
	case <-grace.C:
		r.logger.Info("requests that still run in the old pipeline are asked to end",
			g.running.Attrs()...)
		g.cancel(errReplaced)
		said := time.AfterFunc(patience, func() {
			r.logger.Warn("requests in the old pipeline go on although they were asked to end, "+
				"and keep it open", g.running.Attrs()...)
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

// close closes all apps. The server has ended by then; requests that did not finish in time are not
// waited for.
func (r *relay) close() error {
	close(r.ended)
	_ = waitFor(r.logger, "the pipelines that were replaced",
		func() error { r.retired.Wait(); return nil })
	return waitFor(r.logger, "the pipeline", r.newest.Load().app.Close)
}

// errReplaced is the cause with which the context of a request is cancelled that outlives the grace
// time.
var errReplaced error = replacedError{}

type replacedError struct{}

func (replacedError) Error() string {
	return "the pipeline has been replaced, and the time for its last requests is over"
}

// Is matches context.Canceled, because the end of a stream is no error of the server, and
// context.DeadlineExceeded, which tm and retry answer as the end of a request's time.
func (replacedError) Is(target error) bool {
	return target == context.Canceled || target == context.DeadlineExceeded
}

// A generation is an app with a count of its users: the relay, while it is the newest, and each of
// its requests.
type generation struct {
	app      app
	running  inflight.Set
	users    atomic.Int64  // once zero, it stays zero
	idle     chan struct{} // closed when users is zero
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

// A requestContext is the context of a request that is also done when replaced is. Joining two
// contexts costs more than the rest of the relay, and most handlers never wait for their context,
// so they are joined at the first call of Done, or when one of them has ended.
type requestContext struct {
	context.Context // the request's own
	replaced        context.Context
	underway        inflight.Request
	request         http.Request // with this context; a field, so that both share one allocation

	joined atomic.Pointer[joinedContext] // nil before join; written with mu held
	mu     sync.Mutex                    // guards ended
	ended  bool
}

type joinedContext struct {
	context.Context
	stop func() // releases the join after the request
}

// Done returns a channel that is closed when the request's own context is done, or when its
// pipeline was replaced and the grace time is over.
func (c *requestContext) Done() <-chan struct{} { return c.join().Done() }

// Err returns an error once Done is closed.
func (c *requestContext) Err() error {
	if c.joined.Load() == nil && c.replaced.Err() == nil {
		return c.Context.Err()
	}
	return c.join().Err() // joins, so that the cause is known too
}

// join creates the joined context at the first call.
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
	if !c.ended { // after the end, the request's own context is about to be done
		if c.replaced.Err() != nil {
			cancel(context.Cause(c.replaced)) // now, to agree with Err
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

// Value delegates to the joined context once there is one, so that package context can propagate
// cancellation to derived contexts without a goroutine.
func (c *requestContext) Value(key any) any {
	if joined := c.joined.Load(); joined != nil {
		return joined.Value(key)
	}
	return c.Context.Value(key)
}

// String returns the text that fmt prints for the context.
func (c *requestContext) String() string { return "serve.relay" }

// end releases the joined context.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if joined := c.joined.Load(); joined != nil {
		joined.stop()
	}
}
