package retry

import (
	"context"

	"github.com/go-chi/chi/v5"
)

// A route is chi's routing state when the request arrived at the filter. With router.Use(retry) the
// filter is inside the router, and chi keeps its routing state in a value of the context, which it
// changes in place. A second attempt would continue from the state of the first and end in a 404,
// so each later attempt gets a copy of the original state.
type route struct{ before *chi.Context }

// saveRoute copies chi's routing state, if there is one.
func saveRoute(ctx context.Context) route {
	if at := chi.RouteContext(ctx); at != nil {
		return route{at.Clone()}
	}
	return route{}
}

// restore returns ctx with a copy of the saved state.
func (r route) restore(ctx context.Context) context.Context {
	if r.before == nil {
		return ctx
	}
	return context.WithValue(ctx, chi.RouteCtxKey, r.before.Clone())
}
