package pipeline

import (
	"slices"

	"github.com/go-chi/chi/v5"
)

// A Child is an app or a filter that a composite created with [Build.App] or [Build.Filter].
type Child struct {
	Key  string // of the setting that names it; "" when none does
	Node *Node
}

// Children returns the children of a composite in the order of their creation. It is empty before
// Load.
func (n *Node) Children() []Child { return n.children }

// childKey returns the key of the setting that names a child. If several settings have the same
// value, it is the first one without a child.
func (n *Node) childKey(name string, at reference) string {
	for _, key := range n.LocalConf.keys {
		taken := slices.ContainsFunc(n.children, func(c Child) bool { return c.Key == key })
		if n.LocalConf.settings[key].Value == name && !taken {
			return key
		}
	}
	return at.setting.Key
}

// Routes returns the routes of an app that Load has created: those that its factory passed to
// [Build.Routes], or else the app itself, if it is a chi router. It returns nil if the routes are
// not known.
func (n *Node) Routes() chi.Routes { return n.routes }

// Routes declares the routes of an app, for commands that list them. A factory that returns its
// router need not call it; one that returns another handler around the router does.
func (b *Build) Routes(routes chi.Routes) { b.node.routes = routes }

// Named resolves the app, or else the filter, that a composite of the tree would get for a name,
// and returns nil if there is neither. It shows the probable children of a composite when no object
// has been created. It is not safe for concurrent use.
func (t *Tree) Named(composite *Node, name string) *Node {
	if composite.loader == nil {
		return nil
	}
	r := t.resolver
	warnings := len(r.warnings)
	defer func() { r.faults, r.warnings = nil, r.warnings[:warnings] }()
	for _, typ := range []*objectType{typeApp, typeFilter} {
		r.faults = nil
		node := composite.loader.context(r, typ, &name, composite.GlobalConf,
			composite.referenceTo(name))
		if len(r.faults) == 0 {
			r.learn(node)
			return node
		}
	}
	return nil
}
