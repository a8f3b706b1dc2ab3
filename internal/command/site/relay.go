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
	"github.com/pasteline/pasteline/observe"
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

// ServeHTTP lets the newest app answer. The context of the request is cancelled when the grace time
// of a replaced app is over.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g := r.acquire()
	defer g.release()
	known := req.Context()
	if observe.FromContext(known) == nil { // by a server of another package
		known = observe.NewContext(known, observe.NewRequest("", nil))
	}
	ctx, cancel := context.WithCancelCause(known)
	defer cancel(nil)
	defer g.whenExpired(cancel)()
	var running inflight.Request
	g.running.Begin(&running, req)
	defer g.running.End(&running)
	own := req.WithContext(ctx)
	defer formfiles.HandBack(req, own)
	g.app.ServeHTTP(w, own)
}

// acquire returns the newest generation, with this request counted as a user.
func (r *relay) acquire() *generation {
	for {
		if g := r.newest.Load(); g.acquire() {
			return g
		} // else it has been replaced and become idle in between
	}
}

// replace makes a the app for all further requests.
func (r *relay) replace(a app) {
	old := r.newest.Swap(newGeneration(a))
	r.retired.Go(func() { r.retire(old) })
}

// retire closes a replaced app as soon as it is idle.
func (r *relay) retire(g *generation) {
	g.release() // the relay's own use
	grace := time.NewTimer(r.grace)
	defer grace.Stop()
	select {
	case <-g.idle:
	case <-r.ended:
	case <-grace.C:
		r.logger.Info("requests that still run in the old pipeline are asked to end",
			g.running.Attrs()...)
		g.expire()
		slow := time.AfterFunc(patience, func() {
			r.logger.Warn("requests in the old pipeline go on although they were asked to end, "+
				"and keep it open", g.running.Attrs()...)
		})
		defer slow.Stop()
		select {
		case <-g.idle:
		case <-r.ended:
		}
	}
	g.expire()
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
	app     app
	running inflight.Set
	users   atomic.Int64    // once zero, it stays zero
	idle    chan struct{}   // closed when users is zero
	expired context.Context // done when the grace time is over
	expire  context.CancelFunc
}

func newGeneration(a app) *generation {
	g := &generation{app: a, idle: make(chan struct{})}
	g.users.Store(1)
	g.expired, g.expire = context.WithCancel(context.Background())
	return g
}

// acquire adds a user, and reports false if g is idle.
func (g *generation) acquire() bool {
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

// release removes a user.
func (g *generation) release() {
	if g.users.Add(-1) == 0 {
		close(g.idle)
	}
}

// whenExpired calls cancel when the grace time is over. The returned function undoes that.
func (g *generation) whenExpired(cancel context.CancelCauseFunc) (undo func() bool) {
	return context.AfterFunc(g.expired, func() { cancel(errReplaced) })
}
