package engine

import "context"

type dryRun struct{}

// DryRun returns a context that asks an [OpenFunc] to change nothing: neither to create tables or
// files nor to upgrade them. An engine opened with it only shows that it can be opened, and is then
// closed.
func DryRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, dryRun{}, true)
}

// IsDryRun reports whether ctx was made by [DryRun].
func IsDryRun(ctx context.Context) bool { return ctx.Value(dryRun{}) != nil }

// A StandIn is an [Engine] that replaces one of another kind while a configuration is only checked.
type StandIn struct {
	Engine
	Scheme string // of the URI that names the replaced engine
}
