package pipeline

import (
	"fmt"
	"slices"
	"time"
)

// The names by which a [Requirement] refers to the filters of the standard set.
const (
	BrowserID = "browserid" // puts the browser's ID into the context; its value is a Cookie
	Retry     = "retry"     // runs a request again
	TM        = "tm"        // runs a request in a transaction
	Prefix    = "prefix"    // sets scheme, host and address of a request to those of the client
)

// A Cookie describes the cookie of a filter that offers [BrowserID].
type Cookie struct {
	Name     string
	Lifetime time.Duration // from the time of issue; 0 means until the browser is closed
	Lazy     bool          // issued only when the ID is asked for; apps ask the nearest filter
}

// A Place is the position, relative to an object, of the filters that a [Requirement] is about. A
// filter that a request meets earlier is in front.
type Place int

// The places. Where a composite branches, each path from the server to an app is checked
// separately.
const (
	InFront    Place = iota // such a filter must be in front
	NotInFront              // none may be in front
	Behind                  // such a filter must be behind, on at least one path
	NotBehind               // none may be behind
)

// A Requirement is a rule about the other filters on the paths of requests, which the object itself
// can't see.
type Requirement struct {
	Filter string // the name that those filters offer, such as TM
	Place  Place
	Else   string // the effect on requests if it is not met, and what to write instead
	Broken bool   // requests fail then, or a guarantee is lost; copied to the [Warning]

	// Only, if not nil, is called with the value that such a filter offers, and reports whether the
	// filter counts.
	Only func(value any) bool

	// Check, if not nil, is called with the value that the nearest such filter in front offers. It
	// returns the key of that filter's setting and what is wrong with it, or "" if it is valid.
	Check func(value any) (key, problem string)
}

// Offer declares a service of a filter or composite for all handlers behind it: a name, and a value
// with details, or nil. The children of a composite are behind it.
func (b *Build) Offer(word string, value any) {
	b.node.offers = append(b.node.offers, offer{word, value})
}

// Require declares rules about the other filters on the paths through the object. [Load] warns of
// each that is not met, but only of the first of several about the same filter or with the same
// reason.
func (b *Build) Require(requirements ...Requirement) {
	b.node.requirements = append(b.node.requirements, requirements...)
}

// RequireTransaction declares that an app works in the transaction of the request, so that a tm
// filter must be in front of it.
func (b *Build) RequireTransaction() {
	b.Require(Requirement{
		Filter: TM, Place: InFront, Broken: true,
		Else: "its work is done in the transaction of a request, and without one it fails; write " +
			"egg:repoze.tm2#tm in front of it, and egg:repoze.retry#retry in front of that",
	})
}

// RequireSessions declares that an app uses a session manager, such as that of package session:
// browserid and tm filters must be in front of it, and the browser should keep its ID as long as an
// unused session lasts.
func (b *Build) RequireSessions(manager interface{ Timeout() time.Duration }) {
	b.Require(Requirement{
		Filter: BrowserID, Place: InFront, Broken: true,
		Else: "without a browser's id it gets no session, and such requests fail; write " +
			"egg:repoze.browserid#browserid in front of it",
		Check: func(value any) (key, problem string) {
			cookie, _ := value.(Cookie)
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

type offer struct {
	word  string
	value any
}

// offer returns the offer of the node that a requirement is about.
func (n *Node) offer(q Requirement) (o offer, ok bool) {
	i := slices.IndexFunc(n.offers, func(o offer) bool {
		return o.word == q.Filter &&
			(q.Only == nil || q.Only(o.value))
	})
	if i < 0 {
		return offer{}, false
	}
	return n.offers[i], true
}

// ways checks the paths that lead from a root to its apps.
type ways struct {
	resolver *resolver
	isPart   bool // the paths have an unknown beginning: Options.Part
	told     map[concern]bool
	lacking  []lack // in the order in which they were found
}

// A concern is the subject of a warning that is given once per node: a filter or a reason.
type concern struct {
	node *Node
	text string
}

// A lack is a requirement of a filter behind the node. met says whether a path so far has one.
type lack struct {
	node        *Node
	requirement int
	met         bool
}

// judge warns of all requirements that are not met.
func (r *resolver) judge(root *Node, isPart bool) {
	w := &ways{resolver: r, isPart: isPart, told: map[concern]bool{}}
	w.walk(root, nil)
	for _, l := range w.lacking {
		if q := l.node.requirements[l.requirement]; !l.met {
			w.warn(l.node, q, fmt.Sprintf("has no %s behind it", q.Filter))
		}
	}
}

// A step is a node on a path.
type step struct {
	node *Node
	// perhaps marks a filter that a composite created: only the composite knows behind which of its
	// apps it is.
	perhaps bool
}

// walk follows the paths through a node, which is behind the steps of way.
func (w *ways) walk(n *Node, way []step) {
	way = slices.Clip(way)
	switch n.Kind {
	case KindPipeline:
		for _, filter := range n.Filters {
			way = filter.passed(way, false)
		}
		w.walk(n.App, way)
		return
	case KindFilterApp, KindFilterWith:
		w.walk(n.Next, n.Filter.passed(way, false))
		return
	}
	way = append(way, step{node: n})
	var apps []*Node
	for _, child := range n.children {
		if child.Node.wrapsFilter() {
			way = child.Node.passed(way, true)
		} else {
			apps = append(apps, child.Node)
		}
	}
	for _, app := range apps {
		w.walk(app, way)
	}
	if len(apps) == 0 {
		w.end(way)
	}
}

// passed returns way with the filters of n added: n may have another filter around it.
func (n *Node) passed(way []step, perhaps bool) []step {
	if n.Kind == KindFilterWith {
		return n.Next.passed(n.Filter.passed(way, perhaps), perhaps)
	}
	return append(way, step{n, perhaps})
}

// end checks one complete path.
func (w *ways) end(way []step) {
	for i, s := range way {
		if s.perhaps {
			continue
		}
		for k, q := range s.node.requirements {
			w.require(s.node, k, q.nearest(way, i))
		}
	}
}

// nearest returns the step that a requirement of way[i] is about, the nearest of several, or the
// zero step if there is none.
func (q Requirement) nearest(way []step, i int) step {
	others := way[i+1:]
	if q.Place == InFront || q.Place == NotInFront {
		others = slices.Clone(way[:i])
		slices.Reverse(others)
	}
	for _, other := range others {
		if _, ok := other.node.offer(q); ok && (!other.perhaps || q.Place == InFront ||
			q.Place == Behind) {
			return other
		}
	}
	return step{}
}

// require warns if the filter that was found, or its absence, does not meet a requirement of n.
func (w *ways) require(n *Node, requirement int, found step) {
	q := n.requirements[requirement]
	switch {
	case q.Place == Behind:
		w.note(n, requirement, found.node != nil)
	case q.Place == InFront && found.node == nil:
		if !w.isPart {
			w.warn(n, q, fmt.Sprintf("needs %s in front of it", q.Filter))
		}
	case q.Place == InFront && q.Check != nil:
		o, _ := found.node.offer(q)
		if key, problem := q.Check(o.value); problem != "" {
			w.resolver.warn(found.node.settingOf(key), problem)
		}
	case q.Place == NotInFront && found.node != nil:
		w.warn(n, q, "stands behind "+found.node.calledAt())
	case q.Place == NotBehind && found.node != nil:
		w.warn(n, q, "stands in front of "+found.node.calledAt())
	}
}

// note records whether one more path has the filter that a requirement needs behind n.
func (w *ways) note(n *Node, requirement int, met bool) {
	for i, l := range w.lacking {
		if l.node == n && l.requirement == requirement {
			w.lacking[i].met = l.met || met
			return
		}
	}
	w.lacking = append(w.lacking, lack{n, requirement, met})
}

// warn adds a warning at the place where a node was put into the tree.
func (w *ways) warn(n *Node, q Requirement, what string) {
	filter, reason := concern{n, q.Filter}, concern{n, q.Else}
	if w.told[filter] || w.told[reason] {
		return
	}
	w.told[filter], w.told[reason] = true, true
	at := n.settingOf("")
	if n.placed.setting != nil {
		placed := *n.placed.setting
		placed.Line = n.placed.source().Line
		at, what = &placed, n.called()+" "+what
	}
	w.resolver.add(Warning{
		File: at.File, Line: at.Line, Section: at.Section, Key: at.Written, Message: what + ": " +
			q.Else, Broken: q.Broken,
	})
}

// called returns the name by which a node is put into the tree.
func (n *Node) called() string {
	switch {
	case n.placed.word != "" && n.placed.setting != nil:
		return n.placed.word
	case n.placed.setting != nil:
		return n.placed.setting.Value
	}
	return "[" + n.Name + "]"
}

// calledAt returns the name of called, with the place.
func (n *Node) calledAt() string {
	p := n.Source
	if n.placed.setting != nil {
		p = n.placed.source()
	}
	return fmt.Sprintf("%s (%s)", n.called(), position(p.File, p.Line))
}

// settingOf returns the setting of a key, or, if there is none, a setting with that key and the
// position of the section.
func (n *Node) settingOf(key string) *Setting {
	if s := n.LocalConf.find(key); s != nil {
		return s
	}
	if s := n.GlobalConf.find(key); s != nil {
		return s
	}
	p := n.Source
	return &Setting{File: p.File, Line: p.Line, Section: p.Section, Written: key}
}
