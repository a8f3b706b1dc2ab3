package pipeline

import (
	"slices"

	"github.com/go-chi/chi/v5"
)

// A Child is an app or a filter that a composite has asked for by [Build.App] or [Build.Filter].
type Child struct {
	Key  string // of the setting that names it; "" when none does
	Node *Node
}

// Children returns what a composite asked for, in that order. It has asked for nothing before Load.
func (n *Node) Children() []Child { return n.children }

// childKey is the key of the setting that names a child: of several with the same value the first that has no child yet.
func (n *Node) childKey(name string, at reference) string {
	for _, key := range n.LocalConf.keys {
		taken := slices.ContainsFunc(n.children, func(c Child) bool { return c.Key == key })
		if n.LocalConf.settings[key].Value == name && !taken {
			return key
		}
	}
	return at.setting.Key
}

// Routes returns the routes of an app that Load has created: what its factory gave to [Build.Routes], or else the app
// itself, if it is a chi router. It returns nil if nothing is known of its routes.
func (n *Node) Routes() chi.Routes { return n.routes }

// Routes tells which routes an app has, for commands that list them. A factory that returns its router need not call it;
// one that returns another handler around the router does.
func (b *Build) Routes(routes chi.Routes) { b.node.routes = routes }

// Named resolves the app that a composite of the tree would get if it asked for it by that name, and returns nil if there is
// none. It is for showing what a composite is probably made of, when nothing has been created. It is not safe for concurrent use.
func (t *Tree) Named(composite *Node, name string) *Node {
	if composite.loader == nil {
		return nil
	}
	r := t.resolver
	warnings := len(r.warnings)
	defer func() { r.faults, r.warnings = nil, r.warnings[:warnings] }()
	r.faults = nil
	node := composite.loader.context(r, typeApp, &name, composite.GlobalConf, composite.referenceTo(name))
	if len(r.faults) > 0 {
		return nil
	}
	r.learn(node)
	return node
}
