package show

import "github.com/pasteline/pasteline/pipeline/tree"

// A Frame is a node for programs that draw the tree as nested frames: a filter encloses the handler
// behind it. Texts have no secrets, unless Options.Reveal is set.
type Frame struct {
	Node     *tree.Node
	Kind     string
	Section  string // such as "filter:tm"; "" for a node without one
	Use      string // the reference to the factory; "" for a pipeline and similar nodes
	Factory  string // the name under which the factory is registered; "" if that is not known
	Source   string // file and line
	Settings []FrameSetting
	Inner    *Frame  // the handler that a filter or a pipeline encloses
	Places   []Place // the apps of a composite
}

// A FrameSetting is a setting with its provenance.
type FrameSetting struct {
	Key, Value string
	Source     string // file and line, "default", or how the value came from outside of the files
	Global     bool   // a setting of the global conf, such as one of [DEFAULT]
	Default    bool   // the file does not have it
}

// A Place is a setting of a composite that names an app.
type Place struct {
	Key   string
	Frame *Frame
}

// Frames returns the outermost frame.
func (v *View) Frames() *Frame { return v.frame(v.shapes) }

func (v *View) frame(p *part) *Frame {
	f := &Frame{Node: p.node, Kind: p.kind, Use: p.use, Source: p.place}
	if p.name != "" {
		f.Section = p.name[1 : len(p.name)-1]
	}
	if info, ok := describe(v.opts.Registry, p.node); ok {
		f.Factory = info.Name
	}
	for _, l := range p.settings {
		f.Settings = append(f.Settings, l.setting())
	}
	for _, c := range p.children {
		f.Settings = append(f.Settings, c.setting())
		f.Places = append(f.Places, Place{Key: c.key, Frame: v.frame(c.part)})
	}
	at := f
	for _, inner := range p.inner {
		for at.Inner != nil { // a filter may consist of several
			at = at.Inner
		}
		at.Inner = v.frame(inner)
	}
	return f
}

func (l line) setting() FrameSetting {
	return FrameSetting{
		Key: l.key, Value: l.value, Source: l.place, Global: l.global, Default: l.fallback,
	}
}
