package tree

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
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

	// Children are the apps and filters that a composite has created, in that order. Package
	// pipeline sets them when it creates the objects of the tree.
	Children []Child
	// Patterns are the patterns of the routes of an app that has been created, in the syntax of
	// http.ServeMux, or nil if they are not known. Package pipeline sets them.
	Patterns []string

	guessed bool         // the factory is unknown and Protocol is assumed from the reference
	factory *FactoryInfo // nil if it is not registered
	loader  loader       // where a composite finds its children
	trail   *frame       // the path of the loader to the node
	written reference    // where the factory is named
	placed  reference    // where the node is put into the tree, for example in a pipeline
}

// A Child is an app or a filter that a composite has created.
type Child struct {
	Key  string // of the setting that names it; "" when none does
	Node *Node
}

// IsSecret reports whether the setting of that key must not be shown.
func (n *Node) IsSecret(key string) bool {
	s := n.factory.setting(key)
	return s != nil && s.Secret
}

// knows reports whether the factory declares a setting of that key.
func (n *Node) knows(key string) bool { return n.factory.setting(key) != nil }

// Parts returns the parts of a pipeline, filter-app or filter-with.
func (n *Node) Parts() []*Node {
	return slices.DeleteFunc(append([]*Node{n.App, n.Filter, n.Next}, n.Filters...),
		func(part *Node) bool { return part == nil })
}

// WrapsFilter reports whether the node is a filter, or one filter around another.
func (n *Node) WrapsFilter() bool {
	for n.Kind == KindFilterWith {
		n = n.Next
	}
	return n.Kind == KindFilter
}

// Setting returns the setting of a key, in the local or else the global conf, or, if neither has
// it, an empty setting of that key with the position of the section.
func (n *Node) Setting(key string) *Setting {
	if s := n.LocalConf.find(key); s != nil {
		return s
	}
	if s := n.GlobalConf.find(key); s != nil {
		return s
	}
	p := n.Source
	return &Setting{File: p.File, Line: p.Line, Section: p.Section, Written: key}
}

// Mention returns the name by which the node is put into the tree, and the setting that does so, at
// the line of the name; or, if no setting does, the name of its section and nil.
func (n *Node) Mention() (name string, at *Setting) {
	if n.placed.setting == nil {
		return "[" + n.Name + "]", nil
	}
	placed := *n.placed.setting
	placed.Line = n.placed.source().Line
	if n.placed.word != "" {
		return n.placed.word, &placed
	}
	return placed.Value, &placed
}

// referenceTo finds the setting of a composite that has the name as its value, or as a word of it.
func (n *Node) referenceTo(name string) reference {
	at := reference{up: n.trail}
	for _, key := range n.LocalConf.keys {
		if s := n.LocalConf.settings[key]; s.Value == name {
			at.setting = s
			return at
		}
	}
	for _, key := range n.LocalConf.keys {
		s := n.LocalConf.settings[key]
		if slices.Contains(pystr.Fields(s.Value), name) {
			at.setting, at.word = s, name
			return at
		}
	}
	p := n.Source
	at.setting = &Setting{File: p.File, Line: p.Line, Section: p.Section}
	return at
}

// AddChild adds a child that a composite has created under a name. If several settings have the
// name as their value, the child's key is the first one without a child.
func (n *Node) AddChild(name string, child *Node) {
	key := n.referenceTo(name).setting.Key
	for _, k := range n.LocalConf.keys {
		taken := slices.ContainsFunc(n.Children, func(c Child) bool { return c.Key == k })
		if n.LocalConf.settings[k].Value == name && !taken {
			key = k
			break
		}
	}
	n.Children = append(n.Children, Child{key, child})
}

// Locate converts an error of a factory, or of its settings, into errors with positions: that of
// the setting, if the error has a key, else that of the node. An error about an unknown setting
// does not quote the value, which may be a secret.
func (n *Node) Locate(err error) Errors {
	return flatten(err, func(e *Error) {
		s := n.LocalConf.find(e.Key)
		if s == nil {
			e.File, e.Line, e.Section = n.Source.File, n.Source.Line, n.Source.Section
			return
		}
		at := s.NewError(e.Err, e.Hint)
		e.File, e.Line, e.Section, e.Key = at.File, at.Line, at.Section, at.Key
		e.Value, e.Origin = at.Value, at.Origin
		e.plain = n.knows(s.Key)
		switch {
		case n.IsSecret(s.Key):
			e.Value, e.Origin = redact.Hidden, ""
		case errors.Is(e.Err, ErrUnknownSetting):
			e.Value, e.Origin = "", ""
		}
	})
}

// NotRegistered returns the error for a node whose factory the catalog does not have. It suggests a
// registered name.
func (t *Tree) NotRegistered(n *Node) *Error {
	known := t.resolver.names
	kind := KindApp
	switch {
	case strings.HasPrefix(n.Protocol, "paste.compos"):
		kind = KindComposite
	case n.Kind == KindFilter || n.Kind == KindServer:
		kind = n.Kind
	}
	name := n.Factory.String()
	newError := func(err error, hint string) *Error {
		e := n.written.newError("", err, hint)
		if e.File == "" {
			e.File, e.Line, e.Section = n.Source.File, n.Source.Line, n.Source.Section
		}
		return e
	}
	switch {
	case n.Protocol == "":
		return newError(fmt.Errorf("%s can't be used without a section", name),
			fmt.Sprintf("give it a section: [%s:name] use = %s", n.Kind, name))
	case strings.HasPrefix(n.Protocol, "paste.filter-app"):
		return newError(fmt.Errorf("a [filter-app:] can't use %s", name),
			"give it a [filter:] section and use that, or write paste.filter_factory = "+
				n.Factory.Object)
	}
	if n.Factory.Object != "" && !strings.Contains(n.Factory.Object, ":") {
		return newError(fmt.Errorf("%s is a module, not a function in one", n.Factory.Object),
			"write module:function")
	}
	for _, other := range []Kind{KindApp, KindComposite, KindFilter, KindServer} {
		if other != kind && known.find(other, n.Factory) != nil {
			return newError(fmt.Errorf("%s is not registered as %s but as %s", name, kind, other),
				cmp.Or(n.written.order(kind), suggest.Have(known.usual(kind))))
		}
	}
	if hint := known.elsewhere(kind, n.Factory); hint != "" {
		return newError(notRegisteredError(name+" is for programs in Python"), hint)
	}
	name = strings.TrimSuffix(name, "#main")
	err := notRegisteredError(fmt.Sprintf("no %s %q is registered", kind, name))
	if n.written.setting != nil && n.written.word == "" {
		err = notRegisteredError(fmt.Sprintf("no %s of that name is registered", kind))
	}
	line := fmt.Sprintf("pipeline.%s(r, %q, …)", map[Kind]string{
		KindApp: "App", KindComposite: "Composite", KindFilter: "Filter",
		KindServer: "ServerFactory",
	}[kind], name)
	if near, ok := suggest.Nearest(name, known.spellings(kind)); ok {
		return newError(err, fmt.Sprintf("did you mean %q? A program of your own registers "+
			"others: %s", near, line))
	}
	e := newError(err, fmt.Sprintf("a program of your own registers it: %s in a function that "+
		"serve.Main is given", line))
	if usual := known.usual(kind); len(usual) > 0 {
		e.choices = fmt.Sprintf("registered as %s: %s", kind,
			strings.TrimPrefix(suggest.Have(usual), "have: "))
	}
	return e
}

// A notRegisteredError is an [ErrNotRegistered] with a message.
type notRegisteredError string

func (e notRegisteredError) Error() string { return string(e) }

func (notRegisteredError) Is(target error) bool { return target == ErrNotRegistered }

// A Position is a place in a file.
type Position struct {
	File    string
	Line    int
	Section string
}

// String returns file and line in the form that editors jump to: "site.ini:12".
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// A Tree is a resolved configuration as data: the context tree of PasteDeploy. It is not safe for
// concurrent use while it is resolved further: by [Tree.Child] and [Tree.Named].
type Tree struct {
	Root *Node

	resolver *resolver
}

// Warnings returns the warnings about the configuration, sorted by file and line.
func (t *Tree) Warnings() []Warning { return t.resolver.sortedWarnings() }

// Warn adds a warning, unless the tree has the same one.
func (t *Tree) Warn(w Warning) { t.resolver.add(w) }

// Files returns the files that were read, in that order.
func (t *Tree) Files() []string { return t.resolver.order }

// ReadFile reads a file with the ReadFile of [Options].
func (t *Tree) ReadFile(name string) ([]byte, error) { return t.resolver.readFile(name) }

// Shown returns the value of a setting of n, a node of the tree, with secrets hidden: *** for a
// secret, and no passwords in URIs. The value of a secret is hidden in all other settings of the
// tree too.
func (t *Tree) Shown(n *Node, s Setting) string { return t.resolver.shown(n, s) }

// Conceal returns text without the secrets of the tree's files.
func (t *Tree) Conceal(text string) string { return t.resolver.secrets.Hide(text) }

// TellSecrets adds the secrets of the tree's files to known, for a caller that hides others too: to
// hide one after the other could leave the rest of a secret that contains another.
func (t *Tree) TellSecrets(known *redact.Secrets) { known.Merge(&t.resolver.secrets) }

// ConcealErrors returns err as [Errors] whose messages have no secrets of the tree's files; nil for
// nil.
func (t *Tree) ConcealErrors(err error) error { return t.resolver.conceal(err) }

// Child resolves the app or filter that a composite of the tree gets for a name: a section, or a
// reference such as "egg:Dist#name". Name lookup and the global conf follow PasteDeploy's loader for
// composites. After an error the node, if it is not nil, lacks some parts.
func (t *Tree) Child(composite *Node, kind Kind, name string) (*Node, error) {
	r := t.resolver
	r.errs = nil
	node := composite.loader.context(r, objectTypes[kind], &name, composite.GlobalConf,
		composite.referenceTo(name))
	return r.finish(node)
}

// Named resolves the app, or else the filter, that a composite of the tree would get for a name,
// and returns nil if there is neither. It shows the probable children of a composite when no object
// has been created.
func (t *Tree) Named(composite *Node, name string) *Node {
	if composite.loader == nil {
		return nil
	}
	r := t.resolver
	warnings := len(r.warnings)
	defer func() { r.errs, r.warnings = nil, r.warnings[:warnings] }()
	for _, kind := range []Kind{KindApp, KindFilter} {
		if node, err := t.Child(composite, kind, name); err == nil {
			return node
		}
	}
	return nil
}

// Debug returns the setting debug of a node's global conf, as [convert.AsBool] reads it. It is
// false if the setting is missing, and, with a warning, if the value is neither true nor false.
func (t *Tree) Debug(n *Node) bool {
	t.Use("debug")
	return t.resolver.debug(n)
}

// AppName returns the name of an app for people: that of its section without the kind, or the
// reference of an app without a section.
func (n *Node) AppName() string {
	if kind, name, ok := strings.Cut(n.Name, ":"); ok && kind != "egg" && kind != "call" {
		return name
	}
	return n.Name
}
