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

// RegisterSimple is Register, and takes every server for one that has no more than all have that
// speak the protocol.
func RegisterSimple(o *storage.Opener) {
	o.RegisterCanonical("postgres", func(ctx context.Context, uri *url.URL) (engine.Engine, error) { return openAs(ctx, uri, true) }, canonical)
}

// Schema returns the schema that db was opened with.
func Schema(db *storage.DB) string {
	e, _ := db.Engine().(*database)
	return e.options.schema
}

// Turns is how many connections there are for turns and locks.
const Turns = turnConns

// The parsers, for fuzz tests.
var Canonical = canonical

// GID takes the name of a prepared transaction apart, and puts it together again.
func GID(name string) (again string, ok bool) {
	g, ok := parseGID(name)
	return g.String(), ok
}

// Flags returns what a parameter options sets, sorted, or no if it can't be set by statements.
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
