package postgres

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// RegisterSimple is Register, except that it uses only features that all servers of the protocol
// have.
func RegisterSimple(o *storage.Opener) {
	o.RegisterCanonical("postgres", func(ctx context.Context,
		uri *url.URL,
	) (engine.Engine, error) {
		return openAs(ctx, uri, true)
	}, canonical)
}

// Schema returns the schema that db was opened with.
func Schema(db *storage.DB) string {
	e, _ := db.Engine().(*database)
	return e.options.schema
}

// Setting returns the value of a run-time parameter for the package's own statements.
func Setting(ctx context.Context, db *storage.DB, name string) (value string, err error) {
	e, _ := db.Engine().(*database)
	err = e.pool.QueryRow(ctx, "SHOW "+name).Scan(&value)
	return value, err
}

// LockConns is the size of the pool of connections for advisory locks.
const LockConns = lockConns

// Exported for fuzz tests.
var Canonical = canonical

// GID parses the name of a prepared transaction and formats it again.
func GID(name string) (again string, ok bool) {
	g, ok := parseGID(name)
	return g.String(), ok
}

// Flags returns the settings in a parameter options, sorted, or "no" if statements can't set them.
func Flags(text string) string {
	s, ok := parseFlags(text)
	if !ok {
		return "no"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		words = append(words, name+"="+s[name])
	}
	return strings.Join(words, " ")
}

// BeginSecond begins a view as the second attempt of a transaction does that holds a ticket, and
// whose first attempt has used a range.
func BeginSecond(ctx context.Context, db *storage.DB, used engine.ReadRange) (engine.View, error) {
	e, _ := db.Engine().(*database)
	v, err := e.begin(ctx)
	if err == nil {
		v.used, v.mustAwait = []engine.ReadRange{used}, true
	}
	return v, err
}
