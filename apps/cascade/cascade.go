package cascade

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/replay"
	"github.com/pasteline/pasteline/transaction"
)

// Config configures a cascade.
type Config struct {
	// Apps are called in this order, until one gives an answer that is not caught. At least one is
	// required.
	Apps []http.Handler

	// Catch lists the statuses, from 300 to 599, after which the next app is called. Nil means 404.
	Catch []int

	// HighWater is how many bytes of a request body that an app has read are kept in memory for the
	// next one, before a temporary file is used. Zero means 2 MiB, a negative number as few as
	// possible.
	HighWater int64

	// MaxBody limits the size of a request body in bytes, if an app before the last one reads it; a
	// longer body is answered with 413. Zero means 1 GiB, a negative number no limit.
	MaxBody int64
}

// Validate returns an error that joins an error for each invalid field, or nil.
func (c Config) Validate() error {
	var errs []error
	if len(c.Apps) == 0 {
		errs = append(errs, errors.New("cascade: no app: write app1 = …"))
	}
	if slices.Contains(c.Apps, nil) {
		errs = append(errs, errors.New("cascade: an app is nil"))
	}
	for _, status := range c.Catch {
		if status < 300 || status > 599 {
			errs = append(errs, fmt.Errorf("cascade: %d can't be caught: "+
				"want a status from 300 to 599, such as 404", status))
		}
	}
	return errors.Join(errs...)
}

// New returns the app. The error is that of [Config.Validate]. The app is safe for concurrent use
// and is not affected by later changes of c.
func New(c Config) (http.Handler, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Apps, c.Catch = slices.Clone(c.Apps), slices.Clone(c.Catch)
	if c.Catch == nil {
		c.Catch = []int{http.StatusNotFound}
	}
	return &cascade{c}, nil
}

// A cascade is the handler that New returns. Its fields don't change while it serves.
type cascade struct {
	Config
}

// ServeHTTP calls one app after the other until one gives an answer that is not caught.
func (c *cascade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body *replay.Body
	if len(c.Apps) > 1 && r.Body != nil && r.Body != http.NoBody {
		body = replay.New(r.Body, replay.Options{HighWater: c.HighWater, Max: c.MaxBody})
		// the only effect of an error is a temporary file that stays
		defer func() { _ = body.Close() }()
	}
	last := len(c.Apps) - 1
	for _, app := range c.Apps[:last] {
		if c.try(app, w, r, body) {
			return
		}
	}
	if body != nil {
		result, ok := attempt.FromContext(r.Context())
		if !ok {
			result = &attempt.Result{} // not used; the app sees the error of its read
		}
		inner := r.WithContext(r.Context())
		inner.Body = body.Attempt(result, true)
		defer formfiles.HandBack(r, inner)
		r = inner
	}
	c.Apps[last].ServeHTTP(w, r)
}

// try calls an app that is not the last one, and reports whether its answer was sent.
func (c *cascade) try(
	app http.Handler, w http.ResponseWriter, r *http.Request, body *replay.Body,
) bool {
	g := &gate{ResponseWriter: w, catch: c.Catch, before: w.Header().Clone()}
	// If a filter in front of the cascade (tm or retry) answers failed requests, the app's error is
	// recorded in a separate result first, since a caught error does not concern that filter.
	// Otherwise the context must carry no result: the app answers its errors itself, and a retry
	// filter in front of it has to know that it is the outermost.
	ctx, result := r.Context(), &attempt.Result{}
	outer, hasFilter := attempt.FromContext(ctx)
	if hasFilter {
		ctx, result = attempt.NewContext(ctx)
		g.beforeFlush = func() error { // tm must know of earlier errors when it decides at a flush
			outer.Fail(result.Err())
			return result.Err()
		}
	}
	inner := r.Clone(ctx)
	if body != nil {
		inner.Body = body.Attempt(result, false)
		defer formfiles.Remove(r, inner)
	}
	app.ServeHTTP(g, inner)

	if hasFilter && result.Committed() { // the request must not be run again, even by the next app
		outer.SetCommitted()
	}
	err := result.Err()
	switch {
	case err == nil || !hasFilter:
	case transaction.IsTransient(err):
		outer.Fail(err)
		return true
	default:
		g.decide(attempt.Status(err))
		if g.state != caught {
			outer.Fail(err)
		}
	}
	return g.state != caught
}
