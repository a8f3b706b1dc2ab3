package retry

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/respbuf"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// New returns the filter. The error is that of [Config.Validate].
func New(config Config) (func(http.Handler) http.Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.LogAfterTryCount == 0 {
		config.LogAfterTryCount = 1
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	policy := config.policy()
	return func(next http.Handler) http.Handler {
		f := &filter{Config: config, policy: policy, next: next}
		f.copier, _ = next.(copier)
		return f
	}, nil
}

// A copier is a filter that always copies its request, as tm does. It accepts the context of the
// copy as a separate argument, so that a request behind browserid, retry and tm is copied once
// instead of three times.
type copier interface {
	// ServeCopy serves a copy of r with ctx, which must be derived from r's context. It does not
	// change r, and removes the temporary files of the copy's form.
	ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request)
}

var _ copier = (*filter)(nil)

// A filter is the handler that New's middleware returns. Its fields don't change while it serves,
// except for misplaced.
type filter struct {
	Config
	policy transaction.Policy
	next   http.Handler
	copier copier // next, if it is a copier

	misplaced atomic.Bool // the warning about a filter behind tm was logged
}

// ServeHTTP runs a request until an attempt succeeds or fails for good, and answers it.
func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.inside(r.Context()) {
		f.next.ServeHTTP(w, r)
		return
	}
	f.serve(r.Context(), w, r)
}

// ServeCopy is ServeHTTP for a copy of r with the context ctx.
func (f *filter) ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if f.inside(ctx) {
		own := r.WithContext(ctx)
		defer formfiles.Remove(r, own)
		f.next.ServeHTTP(w, own)
		return
	}
	f.serve(ctx, w, r)
}

// serve serves a copy of r with the context ctx.
func (f *filter) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if err := f.body().Check(r); err != nil {
		f.fail(w, r.WithContext(ctx), new(attempt.Result), err, transaction.Attempt{})
		return
	}
	source := newSource(ctx, r, f)
	defer source.close()
	if !f.StreamBody {
		if err := source.fill(); err != nil {
			f.fail(w, source.original(), new(attempt.Result), err, transaction.Attempt{})
			return
		}
	}
	round := &round{attempts: *f.policy.Attempts(ctx)}
	attempts := &round.attempts
	defer attempts.End()
	for {
		response := &round.first
		if attempts.Attempt().Number > 1 {
			// a goroutine of the first attempt may still use its writer
			response = new(respbuf.Writer)
		}
		err := f.attempt(w, response, source, attempts)
		if err == nil {
			return
		}
		try := attempts.Attempt()
		if !attempts.Again(err) {
			f.fail(w, source.original(), response.Result(), err, try)
			return
		}
		if try.Number >= f.LogAfterTryCount {
			f.Logger.LogAttrs(ctx, slog.LevelInfo, "retrying",
				slog.Int("count", try.Number), slog.Int("tries", try.Tries),
				slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Any("error", err))
		}
		if f.OnRetry != nil {
			r := source.withoutBody(attempts.Context(), attempts.Attempt())
			f.OnRetry(r, err)
		}
	}
}

// A round holds the objects that every request needs, in one allocation: the attempts, and the
// buffered response of the first attempt.
type round struct {
	attempts transaction.Attempts
	first    respbuf.Writer
}

// inside reports whether ctx belongs to an attempt or a transaction already, in which a further
// attempt could not begin a new transaction.
func (f *filter) inside(ctx context.Context) bool {
	if _, ok := transaction.FromContext(ctx); ok {
		if f.misplaced.CompareAndSwap(false, true) {
			f.Logger.LogAttrs(ctx, slog.LevelWarn,
				"retry stands behind tm, so no request is retried: put it before tm in "+
					"the pipeline")
		}
		return true
	}
	_, ok := attempt.FromContext(ctx)
	return ok
}

// attempt runs the request once; response is its buffer and must be new. It returns an error if the
// attempt failed and no response was sent. If it returns nil, the response was sent, in whole or,
// after a failure, in part.
func (f *filter) attempt(
	w http.ResponseWriter, response *respbuf.Writer, source *source, attempts *transaction.Attempts,
) error {
	defer response.Discard()
	f.run(w, response, source, attempts)
	result := response.Result()
	attempts.End() // the next transaction in the queue must not wait until the response is sent
	err := result.Err()
	if err != nil && !response.Sent() {
		if result.Committed() { // a transaction of the attempt was committed before the failure
			f.fail(w, source.original(), result, err, attempts.Attempt())
			return nil
		}
		return err
	}
	if err != nil {
		attempt.Log(f.Logger, response.Late(), source.original(), err)
		response.Cut()
		return nil
	}
	if err := response.Send(); err != nil {
		f.Logger.LogAttrs(attempts.Context(), slog.LevelDebug, "response not sent",
			slog.String("path", source.request.URL.Path), slog.Any("error", err))
		panic(http.ErrAbortHandler) // a part of the response may have been sent
	}
	return nil
}

// run runs the next handlers, and tells listeners of the attempt.
func (f *filter) run(
	w http.ResponseWriter, response *respbuf.Writer, source *source, attempts *transaction.Attempts,
) {
	ctx, try := attempts.Context(), attempts.Attempt()
	options := respbuf.Options{HighWater: f.HighWater, Max: f.MaxResponse, Attempts: attempts}
	if seen := observe.FromContext(ctx); seen.Listening() {
		options.Spooled, options.Released = seen.OnSpooled(ctx, true), seen.OnReleased(ctx)
		start := observe.AttemptStart{Number: try.Number, Tries: try.Tries, Time: time.Now()}
		ctx = seen.AttemptStart(ctx, start)
		told := ctx
		defer func() {
			err := response.Result().Err()
			again := err != nil && !try.Last() && attempts.Retryable(err) &&
				!response.Sent() && !response.Result().Committed()
			seen.AttemptEnd(told, start.End(response.Status(), err, again))
		}()
	}
	ctx = response.Begin(ctx, w, options)
	f.call(ctx, response, source, try)
	response.Returned()
}

// call calls the next handler with the request of an attempt.
func (f *filter) call(
	ctx context.Context, response *respbuf.Writer, source *source, try transaction.Attempt,
) {
	source.record(ctx, try)
	if f.copier != nil && source.unchanged(try) {
		f.copier.ServeCopy(ctx, response, source.request)
		return
	}
	request := source.next(ctx, response.Result(), try)
	defer formfiles.Remove(source.request, request)
	f.next.ServeHTTP(response, request)
}

// fail logs err and answers a request that will not be run again.
func (f *filter) fail(
	w http.ResponseWriter, r *http.Request,
	result *attempt.Result, err error, try transaction.Attempt,
) {
	var attrs []slog.Attr
	if try.Number > 0 { // otherwise the request failed before the first attempt
		attrs = []slog.Attr{slog.Int("count", try.Number), slog.Int("tries", try.Tries)}
	}
	attempt.Log(f.Logger, "request failed", r, err, attrs...)
	result.Respond(w, r, err)
}
