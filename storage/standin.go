package storage

import "context"

type changesNothing struct{}

// WithoutChanges returns a context that asks [Opener.Open] to change nothing: neither to make tables nor to upgrade them. What is opened
// with it is only good to see whether it can be, and to be closed.
func WithoutChanges(ctx context.Context) context.Context {
	return context.WithValue(ctx, changesNothing{}, true)
}

// ChangesNothing reports whether an engine is to be opened so.
func ChangesNothing(ctx context.Context) bool { return ctx.Value(changesNothing{}) != nil }

// A StandIn is an [Engine] that stands in for one of another kind, while a configuration is only checked.
type StandIn struct {
	Engine
	Scheme string // of the URI that was to be opened
}

// IsStandIn reports whether db is a [StandIn] for a kind of database. What can be done with that kind alone is not done then.
func IsStandIn(db *DB, scheme string) bool {
	s, ok := db.Engine().(StandIn)
	return ok && s.Scheme == scheme
}
