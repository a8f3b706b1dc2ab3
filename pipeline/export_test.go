package pipeline

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
)

// ResolveAs resolves as Resolve does, but tells a missing name from an empty one, and, with loader,
// asks the loader of the file for a missing name, as PasteDeploy's loaders can be asked: only then
// a section without a name is found.
func ResolveAs(uri string, kind Kind, name *string, loader bool, opts Options) (*Node,
	func(context.Context) (any, error), error,
) {
	r := newResolver(opts)
	var node *Node
	var err error
	switch {
	case loader:
		l := r.openConfig(strings.TrimPrefix(uri, "config:"), "", newConf(), reference{})
		if l != nil {
			node = l.context(r, map[Kind]*objectType{
				KindApp: typeApp, KindFilter: typeFilter,
				KindServer: typeServer,
			}[kind], name, opts.global(), reference{})
		}
		node, err = r.finish(node)
	case name != nil && *name == "":
		uri, _, _ = strings.Cut(uri, "#")
		node, err = r.start(uri+"#", kind, opts)
	default:
		if name != nil {
			opts.Name = *name
		}
		node, err = r.start(uri, kind, opts)
	}
	create := func(ctx context.Context) (any, error) {
		c := &creation{
			ctx: ctx, logger: slog.New(slog.DiscardHandler), registry: opts.Registry,
			resolver: r, settings: map[*Node]reflect.Value{},
		}
		made, faults := c.all(node, nil)
		return made, sorted(faults)
	}
	return node, create, err
}
