package pipeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/pasteline/pasteline/pipeline/order"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Offer declares a service of a filter or composite for all handlers behind it: a name, such as
// [order.TM], and a value with details, or nil. The children of a composite are behind it.
func (b *Build) Offer(name string, value any) {
	d := b.creation.declared(b.node)
	d.offers = append(d.offers, offer{name, value})
}

// Require declares rules about the other filters on the paths through the object. [Load] warns of
// each that is not met, but only of the first of several about the same filter or with the same
// reason.
func (b *Build) Require(requirements ...order.Requirement) {
	d := b.creation.declared(b.node)
	d.requirements = append(d.requirements, requirements...)
}

// RequireTransaction declares that an app works in the transaction of the request, so that a tm
// filter must be in front of it.
func (b *Build) RequireTransaction() {
	b.Require(order.Requirement{
		Filter: order.TM, Place: order.InFront, Broken: true,
		Else: "its work is done in the transaction of a request, and without one it fails; write " +
			"egg:repoze.tm2#tm in front of it, and egg:repoze.retry#retry in front of that",
	})
}

// RequireSessions declares that an app uses a session manager, such as that of package session:
// browserid and tm filters must be in front of it, and the browser should keep its ID as long as an
// unused session lasts.
func (b *Build) RequireSessions(manager interface{ Timeout() time.Duration }) {
	b.creation.sessions = append(b.creation.sessions, manager)
	b.Require(order.Requirement{
		Filter: order.BrowserID, Place: order.InFront, Broken: true,
		Else: "without a browser's id it gets no session, and such requests fail; write " +
			"egg:repoze.browserid#browserid in front of it",
		Check: func(value any) (key, problem string) {
			cookie, _ := value.(order.Cookie)
			if cookie.Lifetime <= 0 || cookie.Lifetime >= manager.Timeout() {
				return "", ""
			}
			return "cookie_lifetime", fmt.Sprintf("the browser drops its id after %v, and with it "+
				"a session that is in use or may be for another %v: "+
				"make it much longer, or leave it out", cookie.Lifetime, manager.Timeout())
		},
	})
	b.RequireTransaction()
}

// An offer is a service that a filter or composite has declared with [Build.Offer].
type offer struct {
	name  string
	value any
}

// A declaration has what the factory of one object has declared.
type declaration struct {
	offers       []offer
	requirements []order.Requirement
}

// declared returns the declaration of a node, to be added to.
func (c *creation) declared(n *tree.Node) *declaration {
	if c.declarations[n] == nil {
		c.declarations[n] = &declaration{}
	}
	return c.declarations[n]
}

// offer returns the offer of a node that a requirement is about.
func (c *creation) offer(n *tree.Node, q order.Requirement) (o offer, ok bool) {
	for _, o := range c.declared(n).offers {
		if o.name == q.Filter && (q.Only == nil || q.Only(o.value)) {
			return o, true
		}
	}
	return offer{}, false
}

// An orderCheck follows the paths of requests, from the server to each app, and warns of the
// requirements that are not met.
type orderCheck struct {
	*creation
	isPart bool // the paths have an unknown beginning: Options.Part
	warned map[subject]bool
	behind []behind // in the order in which they were found
}

// A subject is that of a warning which is given once per node: a filter or a reason.
type subject struct {
	node *tree.Node
	text string
}

// behind is a requirement of a filter behind the node, on at least one path.
type behind struct {
	node        *tree.Node
	requirement int
	met         bool // by a path so far
}

// checkOrder warns of all requirements that are not met.
func (c *creation) checkOrder(root *tree.Node, isPart bool) {
	o := &orderCheck{creation: c, isPart: isPart, warned: map[subject]bool{}}
	o.walk(root, nil)
	for _, b := range o.behind {
		if q := c.declared(b.node).requirements[b.requirement]; !b.met {
			o.warn(b.node, q, fmt.Sprintf("has no %s behind it", q.Filter))
		}
	}
}

// A step is a node on a path.
type step struct {
	node *tree.Node
	// perhaps marks a filter that a composite created: only the composite knows behind which of its
	// apps it is.
	perhaps bool
}

// walk follows the paths through a node; path has the steps in front of it.
func (o *orderCheck) walk(n *tree.Node, path []step) {
	path = slices.Clip(path)
	switch n.Kind {
	case tree.KindPipeline:
		for _, filter := range n.Filters {
			path = through(filter, path, false)
		}
		o.walk(n.App, path)
		return
	case tree.KindFilterApp, tree.KindFilterWith:
		o.walk(n.Next, through(n.Filter, path, false))
		return
	}
	path = append(path, step{node: n})
	var apps []*tree.Node
	for _, child := range n.Children {
		if child.Node.WrapsFilter() {
			path = through(child.Node, path, true)
		} else {
			apps = append(apps, child.Node)
		}
	}
	for _, app := range apps {
		o.walk(app, path)
	}
	if len(apps) == 0 {
		o.check(path)
	}
}

// through returns the path with a filter added, which may have another filter around it.
func through(n *tree.Node, path []step, perhaps bool) []step {
	if n.Kind == tree.KindFilterWith {
		return through(n.Next, through(n.Filter, path, perhaps), perhaps)
	}
	return append(path, step{n, perhaps})
}

// check checks one complete path.
func (o *orderCheck) check(path []step) {
	for i, s := range path {
		if s.perhaps {
			continue
		}
		for k, q := range o.declared(s.node).requirements {
			o.require(s.node, k, o.nearest(q, path, i))
		}
	}
}

// nearest returns the step that a requirement of path[i] is about, the nearest of several, or the
// zero step if there is none.
func (o *orderCheck) nearest(q order.Requirement, path []step, i int) step {
	others := path[i+1:]
	if q.Place == order.InFront || q.Place == order.NotInFront {
		others = slices.Clone(path[:i])
		slices.Reverse(others)
	}
	for _, other := range others {
		certain := !other.perhaps || q.Place == order.InFront || q.Place == order.Behind
		if _, ok := o.offer(other.node, q); ok && certain {
			return other
		}
	}
	return step{}
}

// require warns if the filter that was found, or its absence, does not meet a requirement of n.
func (o *orderCheck) require(n *tree.Node, requirement int, found step) {
	q := o.declared(n).requirements[requirement]
	switch {
	case q.Place == order.Behind:
		o.recordBehind(n, requirement, found.node != nil)
	case q.Place == order.InFront && found.node == nil:
		if !o.isPart {
			o.warn(n, q, fmt.Sprintf("needs %s in front of it", q.Filter))
		}
	case q.Place == order.InFront && q.Check != nil:
		offered, _ := o.offer(found.node, q)
		if key, problem := q.Check(offered.value); problem != "" {
			o.tree.Warn(found.node.Setting(key).NewWarning(problem))
		}
	case q.Place == order.NotInFront && found.node != nil:
		o.warn(n, q, "stands behind "+nameAndPlace(found.node))
	case q.Place == order.NotBehind && found.node != nil:
		o.warn(n, q, "stands in front of "+nameAndPlace(found.node))
	}
}

// recordBehind records whether one more path has the filter that a requirement needs behind n.
func (o *orderCheck) recordBehind(n *tree.Node, requirement int, met bool) {
	for i, b := range o.behind {
		if b.node == n && b.requirement == requirement {
			o.behind[i].met = b.met || met
			return
		}
	}
	o.behind = append(o.behind, behind{n, requirement, met})
}

// warn adds a warning at the place where a node was put into the tree.
func (o *orderCheck) warn(n *tree.Node, q order.Requirement, message string) {
	filter, reason := subject{n, q.Filter}, subject{n, q.Else}
	if o.warned[filter] || o.warned[reason] {
		return
	}
	o.warned[filter], o.warned[reason] = true, true
	name, at := n.Mention()
	if at == nil {
		at = n.Setting("")
	} else {
		message = name + " " + message
	}
	w := at.NewWarning(message + ": " + q.Else)
	w.Broken = q.Broken
	o.tree.Warn(w)
}

// nameAndPlace returns the name by which a node is put into the tree, with file and line.
func nameAndPlace(n *tree.Node) string {
	name, at := n.Mention()
	place := n.Source
	if at != nil {
		place = tree.Position{File: at.File, Line: at.Line}
	}
	return fmt.Sprintf("%s (%v)", name, place)
}
