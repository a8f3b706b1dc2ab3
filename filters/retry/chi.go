package retry

import (
	"context"

	"github.com/go-chi/chi/v5"
)

// A route is where chi was when the request came to the filter: router.Use(retry) puts it inside of the router, and chi
// keeps what it has routed so far in one value of the context, which it changes in place. A second attempt that found
// the first one's would be routed from there, to a 404. So each later attempt gets a copy of the value as it was.
type route struct{ before *chi.Context }

// noteRoute notes where chi is, if there is one.
func noteRoute(ctx context.Context) route {
	if at := chi.RouteContext(ctx); at != nil {
		return route{at.Clone()}
	}
	return route{}
}

// restore returns ctx with chi where it was.
func (r route) restore(ctx context.Context) context.Context {
	if r.before == nil {
		return ctx
	}
	return context.WithValue(ctx, chi.RouteCtxKey, r.before.Clone())
}
