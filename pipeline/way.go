package pipeline

import (
	"fmt"
	"slices"
	"time"
)

// The words by which filters of the standard set are known to a [Requirement].
const (
	BrowserID = "browserid" // puts a browser's id into the context; its value is a Cookie
	Retry     = "retry"     // runs a request again
	TM        = "tm"        // runs a request in a transaction
	Prefix    = "prefix"    // changes scheme, host and address of a request to those that the visitor has
)

// A Cookie is what a filter that offers [BrowserID] says of its own.
type Cookie struct {
	Name     string
	Lifetime time.Duration // from when it is issued; 0 is until the browser is closed
}

// A Place is where on the way of a request a [Requirement] looks for a filter. The way leads from the server to an app; what a
// request comes to first is in front.
type Place int

// The places. Where a composite branches each way is judged by itself.
const (
	InFront    Place = iota // there must be such a filter in front
	NotInFront              // there must be none in front
	Behind                  // there must be such a filter behind, on one of the ways at least
	NotBehind               // there must be none behind
)

// A Requirement is about the other filters on the ways of requests, which what a factory makes can't see by itself.
type Requirement struct {
	Filter string // what those filters offer, such as TM
	Place  Place
	Else   string // what becomes of requests otherwise, and what to write instead
	Broken bool   // whether requests fail then, or a guarantee is lost: [Warning] has the same

	// Only, if not nil, gets the value that such a filter has offered, and reports whether it counts.
	Only func(value any) bool

	// Check, if not nil, gets the value that the nearest such filter in front has offered. It returns what is wrong with it, ""
	// if nothing is, and the key of the setting of that filter.
	Check func(value any) (key, problem string)
}

// Offer declares what a filter, or a composite, does for everything behind it, in one word, and a value that says more, or nil.
// Of a composite the children are behind it.
func (b *Build) Offer(word string, value any) {
	b.node.offers = append(b.node.offers, offer{word, value})
}

// Require declares what else must be, or must not be, on the ways that lead through what is made. [Load] warns where it is not so,
// once for those about the same filter, or with the same reason: it is the first that counts.
func (b *Build) Require(requirements ...Requirement) {
	b.node.requirements = append(b.node.requirements, requirements...)
}

// RequireTransaction declares that an app does its work in the transaction of the request: that a tm must stand in front of it.
func (b *Build) RequireTransaction() {
	b.Require(Requirement{
		Filter: TM, Place: InFront, Broken: true,
		Else: "its work is done in the transaction of a request, and without one it fails; write egg:repoze.tm2#tm in front of it, and egg:repoze.retry#retry in front of that",
	})
}

// RequireSessions declares that an app asks a manager of sessions, as package session has one, for those of its requests: that
// browserid and tm must stand in front of it, and that a browser should keep its id as long as a session goes on unused.
func (b *Build) RequireSessions(manager interface{ Timeout() time.Duration }) {
	b.Require(Requirement{
		Filter: BrowserID, Place: InFront, Broken: true,
		Else: "without a browser's id it gets no session, and such requests fail; write egg:repoze.browserid#browserid in front of it",
		Check: func(value any) (key, problem string) {
			cookie, _ := value.(Cookie)
			if cookie.Lifetime <= 0 || cookie.Lifetime >= manager.Timeout() {
				return "", ""
			}
			return "cookie_lifetime", fmt.Sprintf("the browser drops its id after %v, and with it a session that is in use or may be for another %v: "+
				"make it much longer, or leave it out", cookie.Lifetime, manager.Timeout())
		},
	})
	b.RequireTransaction()
}

type offer struct {
	word  string
	value any
}

// offer returns what the node offers that a requirement is about.
func (n *Node) offer(q Requirement) (o offer, ok bool) {
	i := slices.IndexFunc(n.offers, func(o offer) bool { return o.word == q.Filter && (q.Only == nil || q.Only(o.value)) })
	if i < 0 {
		return offer{}, false
	}
	return n.offers[i], true
}

// ways judges the ways that lead from a root to its apps.
type ways struct {
	resolver *resolver
	isPart   bool // of longer ones, whose beginning is not known
	told     map[concern]bool
	lacking  []lack // in the order in which they were come to
}

// A concern is what a node is warned of once: about a filter, or with a reason.
type concern struct {
	node *Node
	text string
}

// A lack is a requirement of a filter behind which none of the ways has met so far.
type lack struct {
	node        *Node
	requirement int
	met         bool
}

// judge warns of requirements that are not met.
func (r *resolver) judge(root *Node, isPart bool) {
	w := &ways{resolver: r, isPart: isPart, told: map[concern]bool{}}
	w.walk(root, nil)
	for _, l := range w.lacking {
		if q := l.node.requirements[l.requirement]; !l.met {
			w.warn(l.node, q, fmt.Sprintf("has no %s behind it", q.Filter))
		}
	}
}

// A step is a node on a way.
type step struct {
	node *Node
	// perhaps is of a filter that a composite has asked for: which of its apps it has put behind that, only the composite knows.
	perhaps bool
}

// walk follows the ways through a node, behind those steps.
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

// passed adds to a way what a request passes in a filter, which may have one around it.
func (n *Node) passed(way []step, perhaps bool) []step {
	if n.Kind == KindFilterWith {
		return n.Next.passed(n.Filter.passed(way, perhaps), perhaps)
	}
	return append(way, step{n, perhaps})
}

// end judges one way, whose end is known.
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

// nearest returns the step that a requirement of way[i] is about, the nearest of several, and the zero step if there is none.
func (q Requirement) nearest(way []step, i int) step {
	others := way[i+1:]
	if q.Place == InFront || q.Place == NotInFront {
		others = slices.Clone(way[:i])
		slices.Reverse(others)
	}
	for _, other := range others {
		if _, ok := other.node.offer(q); ok && (!other.perhaps || q.Place == InFront || q.Place == Behind) {
			return other
		}
	}
	return step{}
}

// require warns of a requirement of n if what was found does not meet it.
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

// note notes whether one more way meets a requirement of a filter behind.
func (w *ways) note(n *Node, requirement int, met bool) {
	for i, l := range w.lacking {
		if l.node == n && l.requirement == requirement {
			w.lacking[i].met = l.met || met
			return
		}
	}
	w.lacking = append(w.lacking, lack{n, requirement, met})
}

// warn warns where a node was put into the tree.
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
		File: at.File, Line: at.Line, Section: at.Section, Key: at.Written, Message: what + ": " + q.Else, Broken: q.Broken,
	})
}

// called is the name by which a node is put into the tree.
func (n *Node) called() string {
	switch {
	case n.placed.word != "" && n.placed.setting != nil:
		return n.placed.word
	case n.placed.setting != nil:
		return n.placed.setting.Value
	}
	return "[" + n.Name + "]"
}

// calledAt is the same, with the place where that is.
func (n *Node) calledAt() string {
	p := n.Source
	if n.placed.setting != nil {
		p = n.placed.source()
	}
	return fmt.Sprintf("%s (%s)", n.called(), position(p.File, p.Line))
}

// settingOf returns the setting of a key, or, if there is none, the section with that key.
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
