package pipeline

import (
	"net/http"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// Around registers a filter that [Load] puts around each app that it composes, in front of all
// filters of the file. The factory is called when all others have succeeded; its [Build] is that of
// the app. If it returns nil, the app gets no such filter.
func Around(r *Registry, f func(b *Build) (func(http.Handler) http.Handler, error)) {
	r.around = append(r.around, f)
}

// around applies the filters of Around, of which the first is the innermost, and tells the listeners
// of requests within them.
func (c *creation) around(app http.Handler) (http.Handler, error) {
	filters := make([]func(http.Handler) http.Handler, len(c.registry.around))
	for i, f := range c.registry.around {
		var err error
		filters[i], err = f(&Build{
			registry: c.registry, creation: c, node: c.tree.Root, factory: &factory{},
		})
		if err != nil {
			return nil, c.tree.Root.Locate(err)
		}
	}
	app = c.observe(app)
	for _, filter := range filters {
		if filter != nil {
			app = filter(app)
		}
	}
	return app, nil
}

// Tree returns the configuration as data. Until the load has ended, it lacks the children of
// composites that are not created yet.
func (b *Build) Tree() *tree.Tree { return b.creation.tree }

// Offers reports whether the object of a node, or any object if it is nil, has been created and
// offers a service of that name, see [Build.Offer].
func (b *Build) Offers(n *tree.Node, name string) bool {
	for node, d := range b.creation.declarations {
		if n == nil || n == node {
			for _, o := range d.offers {
				if o.name == name {
					return true
				}
			}
		}
	}
	return false
}

// Describe returns the factory of a kind that is registered under a name or an alias, see
// [Registry.Describe].
func (b *Build) Describe(kind tree.Kind, name string) (tree.FactoryInfo, bool) {
	return b.registry.Describe(kind, name)
}
