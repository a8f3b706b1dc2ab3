package show

import (
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Options select the form of the output.
type Options struct {
	// Registry has the settings of the factories, which of them are secret, and their defaults. It
	// may be nil.
	Registry *pipeline.Registry
	// Reveal shows secrets.
	Reveal bool
	// Others are further trees of the same files; their secrets are also hidden in this tree.
	Others []*tree.Tree
	// Defaults adds the settings that have their default to text and pictures.
	Defaults bool
	// Color adds colors to the text, for a terminal.
	Color bool
}

// A View prints one tree.
type View struct {
	tree   *tree.Tree
	opts   Options
	shapes *part // the form for text and pictures
}

// New returns a view of a tree.
func New(resolved *tree.Tree, opts Options) *View {
	v := &View{tree: resolved, opts: opts}
	children := map[*tree.Node][]reference{}
	// all secrets, before the first setting is printed
	for _, t := range append(slices.Clip(opts.Others), resolved) {
		var learn func(*tree.Node)
		learn = func(n *tree.Node) {
			for _, inner := range partsOf(n) {
				learn(inner)
			}
			children[n] = references(t, n)
			for _, c := range children[n] {
				learn(c.node)
			}
		}
		learn(t.Root)
	}
	v.shapes = v.shape(resolved.Root, nil, children)
	return v
}

// A part is a node in the form for text and pictures.
type part struct {
	node     *tree.Node
	kind     string
	name     string // section in brackets; "" without one
	use      string // factory; "" for a pipeline and similar nodes
	missing  bool   // the factory is not registered
	place    string // file and line
	settings []line
	inner    []*part // parts of a pipeline or similar node, outermost first
	children []child // of a composite
}

// A line is a setting.
type line struct {
	key, value string
	global     bool
	fallback   bool // the default of the setting
	place      string
}

func (l line) label() string {
	if l.global {
		return "global " + l.key
	}
	return l.key
}

// A child is an app that a setting of a composite names.
type child struct {
	line
	part *part
}

// shape returns the part for a node. It omits global settings that the outer node has too.
func (v *View) shape(n, outer *tree.Node, children map[*tree.Node][]reference) *part {
	p := &part{node: n, kind: string(n.Kind), place: clean(position(n.Source))}
	if n.Source.Section != "" && n.Source.Section == n.Name {
		p.name = "[" + clean(v.key(n.Name)) + "]"
	}
	if n.Factory != (tree.Factory{}) {
		p.use = clean(v.key(n.Factory.String()))
		p.missing = !n.Registered
	}
	for s := range n.GlobalConf.All() {
		if byLoader(s) {
			continue
		}
		if outer != nil {
			if same, ok := outer.GlobalConf.Get(s.Key); ok && same.Value == s.Value &&
				same.Line == s.Line && same.File == s.File {
				continue
			}
		}
		p.settings = append(p.settings, v.line(n, s, true))
	}
	for s := range n.LocalConf.All() {
		if handsOn(n, s) {
			continue
		}
		l := v.line(n, s, false)
		drawn := 0
		for _, c := range children[n] {
			if c.key != s.Key {
				continue
			}
			entry := child{line: l, part: v.shape(c.node, n, children)}
			p.children = append(p.children, entry)
			drawn++
		}
		if drawn == 0 {
			p.settings = append(p.settings, l)
		}
	}
	if v.opts.Defaults {
		p.settings = append(p.settings, v.defaults(n)...)
	}
	for _, inner := range partsOf(n) {
		p.inner = append(p.inner, v.shape(inner, n, children))
	}
	return p
}

func (v *View) line(n *tree.Node, s tree.Setting, global bool) line {
	l := line{key: clean(v.key(s.Key)), value: v.value(n, s), global: global}
	switch {
	case s.File == "":
		l.place = "given from outside"
	case byLoader(s):
		l.place = "set by the loader"
	default:
		l.place = clean(position(tree.Position{File: s.File, Line: s.Line}))
		if s.Section != n.Source.Section {
			l.place += " [" + clean(v.key(s.Section)) + "]"
		}
		if s.Written != s.Key {
			l.place += " " + clean(v.key(s.Written))
		}
	}
	return l
}

// defaults returns the settings that the factory declares and the file does not set. Those without
// a default have no effect when they are absent.
func (v *View) defaults(n *tree.Node) []line {
	info, ok := describe(v.opts.Registry, n)
	if !ok {
		return nil
	}
	var lines []line
	for _, s := range info.Settings {
		if _, written := n.LocalConf.Get(s.Key); !written && s.HasDefault {
			lines = append(lines, line{
				key: s.Key, value: s.Default, fallback: true,
				place: "default",
			})
		}
	}
	return lines
}

// handsOn reports whether a setting of a filter-app or filter-with is printed with the filter or
// the app that gets it.
func handsOn(n *tree.Node, s tree.Setting) bool {
	return slices.ContainsFunc(partsOf(n), func(part *tree.Node) bool {
		same, ok := part.LocalConf.Get(s.Key)
		return ok && same.Value == s.Value && same.Line == s.Line && same.File == s.File
	})
}

// title returns the first line of a part.
func (p *part) title() string {
	words := []string{p.kind}
	if p.name != "" {
		words = append(words, p.name)
	}
	switch {
	case p.use != "" && p.name != "":
		words = append(words, "use = "+p.use)
	case p.use != "":
		words = append(words, p.use)
	}
	return strings.Join(words, " ")
}

// partsOf returns the parts of a node, outermost first.
func partsOf(n *tree.Node) []*tree.Node {
	var parts []*tree.Node
	parts = append(parts, n.Filters...)
	for _, part := range []*tree.Node{n.App, n.Filter, n.Next} {
		if part != nil {
			parts = append(parts, part)
		}
	}
	return parts
}

// byLoader reports whether the setting is here or __file__, which every node has.
func byLoader(s tree.Setting) bool { return s.File != "" && s.Line == 0 }

// describe describes the factory of a node.
func describe(r *pipeline.Registry, n *tree.Node) (tree.FactoryInfo, bool) {
	if r == nil || !n.Registered {
		return tree.FactoryInfo{}, false
	}
	return r.Describe(n.Kind, n.Factory.String())
}
