package picture

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// The roles of frames, which decide what their figures count.
const (
	RoleRetry = "retry"
	RoleTM    = "tm"
)

// purposes has one line about each factory that every pipeline has, by its name.
var purposes = map[string]string{
	"egg:pasteline#browserid": "gives each browser an id",
	"egg:pasteline#retry":     "runs a request again after a conflict",
	"egg:pasteline#tm":        "runs each request in a transaction",
	"egg:pasteline#errorpage": "shows why a request failed",
	"egg:pasteline#inspector": "shows the pipeline at work",
}

// A Frame is a node of the pipeline, drawn around the handlers behind it.
type Frame struct {
	ID       string              `json:"id"`
	Kind     string              `json:"kind"`
	Title    string              `json:"title"`
	Section  string              `json:"section,omitempty"`
	Use      string              `json:"use,omitempty"`
	Source   string              `json:"source,omitempty"`
	Role     string              `json:"role,omitempty"`
	Settings []show.FrameSetting `json:"settings,omitempty"`
	Inner    *Frame              `json:"inner,omitempty"`
	Places   []Place             `json:"places,omitempty"`

	Purpose string     `json:"-"` // one line about the factory, shown without figures
	Node    *tree.Node `json:"-"`
	Outer   *Frame     `json:"-"`
}

// A Place is an app of a composite.
type Place struct {
	Key   string `json:"key"`
	Frame *Frame `json:"frame"`
}

// NewFrames returns the frames of a resolved tree, the outermost first.
func NewFrames(t *tree.Tree, r *pipeline.Registry) []*Frame {
	var all []*Frame
	add(&all, show.New(t, show.Options{Registry: r, Defaults: true}).Frames(), nil)
	return all
}

// Path returns copies of f and the frames around it, the outermost first, without the other apps
// that stand beside it.
func (f *Frame) Path() *Frame {
	path := *f
	for inner, outer := f, f.Outer; outer != nil; inner, outer = outer, outer.Outer {
		around, rest := *outer, path
		if outer.Inner == inner {
			around.Inner = &rest
		}
		around.Places = nil
		for _, p := range outer.Places {
			if p.Frame == inner {
				around.Places = []Place{{p.Key, &rest}}
			}
		}
		path = around
	}
	return &path
}

// Locate returns the frame that a running request is in, for an app with the innermost frame f: tm
// while the request commits, retry while it waits for the next attempt, else f.
func (f *Frame) Locate(q *Request) *Frame {
	role := ""
	if n := len(q.Attempts); n > 0 && !q.Released {
		switch a := q.Attempts[n-1]; {
		case !a.Running && a.Again:
			role = RoleRetry
		case a.Running && a.CommitAt > 0 && a.CommitMillis == 0:
			role = RoleTM
		}
	}
	for at := f; at != nil && role != ""; at = at.Outer {
		if at.Role == role {
			return at
		}
	}
	return f
}

// add appends a frame and those inside it, and returns it.
func add(all *[]*Frame, shown *show.Frame, outer *Frame) *Frame {
	f := &Frame{
		ID: fmt.Sprintf("f%d", len(*all)), Kind: shown.Kind, Section: shown.Section,
		Use: shown.Use, Source: shown.Source, Settings: shown.Settings, Node: shown.Node, Outer: outer,
	}
	switch shown.Factory {
	case "egg:pasteline#retry":
		f.Role = RoleRetry
	case "egg:pasteline#tm":
		f.Role = RoleTM
	}
	f.Title, f.Purpose = f.title(), purposes[shown.Factory]
	*all = append(*all, f)
	if shown.Inner != nil {
		f.Inner = add(all, shown.Inner, f)
	}
	for _, p := range shown.Places {
		f.Places = append(f.Places, Place{Key: p.Key, Frame: add(all, p.Frame, f)})
	}
	return f
}

// title returns the name of a frame for people: that of the section or of the factory.
func (f *Frame) title() string {
	name := f.Section
	if name == "" {
		name = f.Use
	}
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == ':' || name[i] == '#' {
			return name[i+1:]
		}
	}
	if name == "" {
		return f.Kind
	}
	return name
}
