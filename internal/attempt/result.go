package attempt

import (
	"context"
	"net/http"
	"sync"
)

// A Result is how one attempt at a request ended. It is safe for concurrent use by multiple
// goroutines.
type Result struct {
	outer *Result // the one that this is a part of; nil: none

	mu        sync.Mutex // guards the rest; taken before that of outer
	err       error
	responder Responder
	committed bool
	shut      bool
}

// A Responder answers a request that failed with err.
type Responder func(w http.ResponseWriter, r *http.Request, err error)

// A Context is a context that carries a Result of its own. It is a type so that a struct can have
// it as a field, which saves allocations. Set Context.Context, the parent, before use.
type Context struct {
	context.Context
	Result Result
}

type resultKey struct{}

// Value returns the Result, or the parent's value.
func (c *Context) Value(key any) any {
	if key == (resultKey{}) {
		return &c.Result
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *Context) String() string { return "attempt.Context" }

// NewContext returns a context that carries a new, empty Result, and the Result. The outermost
// filter that answers for failed attempts makes one for each attempt.
func NewContext(ctx context.Context) (context.Context, *Result) {
	c := &Context{Context: ctx}
	return c, &c.Result
}

// FromContext returns the Result that ctx carries, and whether it carries one.
func FromContext(ctx context.Context) (*Result, bool) {
	result, ok := ctx.Value(resultKey{}).(*Result)
	return result, ok
}

// Fail records err in the Result that ctx carries, as [Result.Fail] does. It reports whether ctx
// carries one, and so whether a filter will answer for the failure.
func Fail(ctx context.Context, err error) bool {
	result, ok := FromContext(ctx)
	if ok {
		result.Fail(err)
	}
	return ok
}

// Part makes r, which is new, a part of outer: r passes everything on to outer until [Result.Shut].
func (r *Result) Part(outer *Result) { r.outer = outer }

// Shut separates r from the outer Result: the handlers have returned, and a goroutine left over
// from one of them, as by [http.TimeoutHandler], can't change how the attempt ended. Errors
// recorded in r afterwards are dropped.
func (r *Result) Shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
}

// Fail records that the attempt failed with err. The first error stays, since later ones usually
// follow from it. A nil error records nothing.
func (r *Result) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shut:
	case r.outer != nil:
		r.outer.Fail(err)
	case r.err == nil:
		r.err = err
	}
}

// Wrap replaces the recorded error, if any, by f(error): a filter adds a
// property of the error, for instance that it is transient.
func (r *Result) Wrap(f func(error) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shut:
	case r.outer != nil:
		r.outer.Wrap(f)
	case r.err != nil:
		r.err = f(r.err)
	}
}

// Err returns the recorded error; nil if the attempt has not failed so far.
func (r *Result) Err() error {
	if r.outer != nil {
		return r.outer.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// SetCommitted records that work of the attempt was committed.
func (r *Result) SetCommitted() {
	if r.outer != nil {
		r.outer.SetCommitted()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = true
}

// Committed reports whether work of the attempt was committed. It must not be run again then,
// whatever failed afterwards.
func (r *Result) Committed() bool {
	if r.outer != nil {
		return r.outer.Committed()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.committed
}

// SetResponder makes f answer if the attempt fails. The last call counts.
func (r *Result) SetResponder(f Responder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shut:
	case r.outer != nil:
		r.outer.SetResponder(f)
	default:
		r.responder = f
	}
}

// Respond answers a failed attempt, with the responder of [Result.SetResponder] or else as the
// function [Respond] does.
func (r *Result) Respond(w http.ResponseWriter, req *http.Request, err error) {
	if r.outer != nil {
		r.outer.Respond(w, req, err)
		return
	}
	r.mu.Lock()
	responder := r.responder
	r.mu.Unlock()
	RespondWith(responder, w, req, err)
}
