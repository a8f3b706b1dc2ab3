package cascade

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/form"
	"github.com/pasteline/pasteline/internal/replay"
	"github.com/pasteline/pasteline/transaction"
)

// Config says which apps are asked, and what is no answer.
type Config struct {
	// Apps are asked in this order; at least one.
	Apps []http.Handler

	// Catch has the statuses, from 300 to 599, after which the next app is asked. Nil means 404.
	Catch []int

	// HighWater is how many bytes of a request body that an app has read are kept in memory for the next one, before a
	// temporary file is used. Zero means 2 MiB.
	HighWater int64

	// MaxBody is how many bytes a request body may have, if an app before the last one reads it: more is answered with
	// 413. Zero means no limit.
	MaxBody int64
}

// Validate returns what is wrong with the config, all of it, or nil.
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
			errs = append(errs, fmt.Errorf("cascade: %d can't be caught: want a status from 300 to 599, such as 404", status))
		}
	}
	if c.HighWater < 0 || c.MaxBody < 0 {
		errs = append(errs, errors.New("cascade: a size is negative: want a number of bytes"))
	}
	return errors.Join(errs...)
}

// New returns the app. The error is that of [Config.Validate]. The app is safe for concurrent use, and is not changed by
// later changes of c.
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

// A cascade is read-only while it serves.
type cascade struct {
	Config
}

// ServeHTTP asks one app after the other.
func (c *cascade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body *replay.Body
	if len(c.Apps) > 1 && r.Body != nil && r.Body != http.NoBody {
		body = replay.New(r.Body, replay.Options{HighWater: c.HighWater, Max: c.MaxBody})
		defer func() { _ = body.Close() }() // nobody will miss the record
	}
	last := len(c.Apps) - 1
	for _, app := range c.Apps[:last] {
		if c.ask(app, w, r, body) {
			return
		}
	}
	if body != nil {
		result, ok := attempt.FromContext(r.Context())
		if !ok {
			result = &attempt.Result{} // nobody looks; the app sees the error that it gets from its read
		}
		own := r.WithContext(r.Context())
		own.Body = body.Attempt(result, true)
		defer form.HandBack(r, own)
		r = own
	}
	c.Apps[last].ServeHTTP(w, r)
}

// ask asks an app that is not the last one, and reports whether it had an answer.
func (c *cascade) ask(app http.Handler, w http.ResponseWriter, r *http.Request, body *replay.Body) bool {
	g := &gate{ResponseWriter: w, catch: c.Catch, before: w.Header().Clone()}
	// Where somebody outside answers for errors, the app's go into a result of its own first, since one that is caught
	// concerns nobody. Where nobody does, there must be no result: the app answers its errors itself, and a retry filter in
	// front of it has to know that it is the outermost.
	ctx, result := r.Context(), &attempt.Result{}
	outer, answered := attempt.FromContext(ctx)
	if answered {
		ctx, result = attempt.NewContext(ctx)
		g.flushing = func() error { // what is decided at a flush has to know of what failed so far
			outer.Fail(result.Err())
			return result.Err()
		}
	}
	inner := r.Clone(ctx)
	if body != nil {
		inner.Body = body.Attempt(result, false)
		defer form.Remove(r, inner)
	}
	app.ServeHTTP(g, inner)

	if answered && result.Committed() { // whatever the next one does, this must not be done once more
		outer.SetCommitted()
	}
	err := result.Err()
	switch {
	case err == nil || !answered:
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
