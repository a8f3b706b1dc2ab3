package pipeline

import (
	"slices"

	"github.com/go-chi/chi/v5"
)

// A Kind is the kind of a node of the tree, and of the objects that a factory makes.
type Kind string

// The kinds of nodes. Factories are of kind app, composite, filter or server; the loader itself
// makes the others.
const (
	KindApp       Kind = "app"
	KindComposite Kind = "composite"
	KindFilter    Kind = "filter"
	KindServer    Kind = "server"
	KindPipeline  Kind = "pipeline" // filters around an app
	// one filter around the next app, from a [filter-app:] section
	KindFilterApp  Kind = "filter-app"
	KindFilterWith Kind = "filter-with" // the filter-with of a section around its object
)

// A Node is one object that a configuration describes, with its parts. Resolving creates nodes
// only, not the objects.
type Node struct {
	Kind Kind
	// the section's name, such as "app:main", or the reference of a node that has no section of its
	// own
	Name string

	// Factory and Protocol identify the factory of an app, composite, filter or server. Protocol is
	// that of PasteDeploy, such as "paste.app_factory"; "" if there is none, as for a call: outside
	// a section, which can't be created.
	Factory    Factory
	Protocol   string
	Registered bool // whether the registry has the factory

	GlobalConf *Conf
	LocalConf  *Conf
	Source     Position // of the section, or of the setting that refers to a node without one

	Filters []*Node // of a pipeline, outermost first
	App     *Node   // of a pipeline
	Filter  *Node   // of a filter-app or filter-with
	Next    *Node   // the object inside that filter

	guessed bool // the factory is unknown and Protocol is assumed from the reference
	factory *factory
	loader  loader    // where a composite finds its children
	trail   *frame    // the path of the loader to the node
	written reference // where the factory is named
	placed  reference // where the node is put into the tree, for example in a pipeline

	// Set by Load, when the object has been created.
	children     []Child
	routes       chi.Routes
	offers       []offer
	requirements []Requirement
}

// IsSecret reports whether the setting of that key must not be shown.
func (n *Node) IsSecret(key string) bool {
	return n.factory != nil &&
		n.factory.schema.isSecret(key)
}

// knows reports whether the factory declares a setting of that key.
func (n *Node) knows(key string) bool {
	return n.factory != nil && slices.ContainsFunc(n.factory.schema.fields,
		func(f field) bool { return f.key == key })
}

// parts returns the parts of a pipeline, filter-app or filter-with.
func (n *Node) parts() []*Node {
	return slices.DeleteFunc(append([]*Node{n.App, n.Filter, n.Next}, n.Filters...),
		func(part *Node) bool { return part == nil })
}

// wrapsFilter reports whether the node is a filter, or one filter around another.
func (n *Node) wrapsFilter() bool {
	for n.Kind == KindFilterWith {
		n = n.Next
	}
	return n.Kind == KindFilter
}

// A Position is a place in a file.
type Position struct {
	File    string
	Line    int
	Section string
}

// A Tree is a resolved configuration as data: the context tree of PasteDeploy.
type Tree struct {
	Root     *Node
	Warnings []Warning // sorted by file and line
	Files    []string  // the files that were read, in that order

	resolver *resolver
}

// Shown returns the value of a setting of n, a node of the tree, with secrets hidden: *** for a
// secret, and no passwords in URIs. The value of a secret is hidden in all other settings of the
// tree too.
func (t *Tree) Shown(n *Node, s Setting) string { return t.resolver.shown(n, s) }

// Conceal returns text without the secrets of the tree's files.
func (t *Tree) Conceal(text string) string { return t.resolver.secrets.Hide(text) }
