package pipeline

import (
	"slices"

	"github.com/go-chi/chi/v5"
)

// A Kind says what a node of the tree is, and what a factory makes.
type Kind string

// The kinds of nodes. Factories are of kind app, composite, filter or server; the others are made by the loader itself.
const (
	KindApp        Kind = "app"
	KindComposite  Kind = "composite"
	KindFilter     Kind = "filter"
	KindServer     Kind = "server"
	KindPipeline   Kind = "pipeline"    // filters around an app
	KindFilterApp  Kind = "filter-app"  // one filter around the next app, from a [filter-app:] section
	KindFilterWith Kind = "filter-with" // one filter around what a section is otherwise
)

// A Node is one object that a configuration describes, and what it is made of. Nothing has been created yet.
type Node struct {
	Kind Kind
	Name string // the section's name, such as "app:main", or the reference of a node that has no section of its own

	// Factory, with Protocol, says what creates an app, composite, filter or server. Protocol is that of PasteDeploy, such
	// as "paste.app_factory"; "" when there is none, as for a call: outside a section, which can't be created.
	Factory    Factory
	Protocol   string
	Registered bool // whether the registry has the factory

	GlobalConf *Conf
	LocalConf  *Conf
	Source     Position // of the section, or of the setting that refers to a node without one

	Filters []*Node // of a pipeline, outermost first
	App     *Node   // of a pipeline
	Filter  *Node   // of a filter-app or filter-with
	Next    *Node   // what that filter is around

	guessed bool // whether the protocol is only what the reference asked for, the factory being unknown
	factory *factory
	loader  loader    // where a composite finds its children
	trail   *frame    // how the loader came here
	written reference // where the reference to the factory stands
	placed  reference // where the node was put into the tree: in a pipeline, say

	// What is known when it has been created.
	children     []Child
	routes       chi.Routes
	offers       []offer
	requirements []Requirement
}

// IsSecret reports whether the setting of that key must not be shown.
func (n *Node) IsSecret(key string) bool { return n.factory != nil && n.factory.schema.isSecret(key) }

// knows reports whether the factory has a setting of that key.
func (n *Node) knows(key string) bool {
	return n.factory != nil && slices.ContainsFunc(n.factory.schema.fields, func(f field) bool { return f.key == key })
}

// parts returns what a pipeline and its like are made of.
func (n *Node) parts() []*Node {
	return slices.DeleteFunc(append([]*Node{n.App, n.Filter, n.Next}, n.Filters...), func(part *Node) bool { return part == nil })
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

// A Tree is what a configuration describes, as data: the context tree of PasteDeploy.
type Tree struct {
	Root     *Node
	Warnings []Warning // sorted by file and line
	Files    []string  // every file that was read, the first one first

	resolver *resolver
}

// Shown returns the value of a setting of n, a node of the tree, as it may be shown: *** for a secret, and without the passwords
// in a URI and the like. Wherever else in the tree the value of a secret turns up, it is hidden there too.
func (t *Tree) Shown(n *Node, s Setting) string { return t.resolver.shown(n, s) }

// Conceal returns text without the secrets of the tree's files.
func (t *Tree) Conceal(text string) string { return t.resolver.secrets.Hide(text) }
