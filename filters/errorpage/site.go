package errorpage

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A site is what the page knows of the pipeline. It is safe for concurrent use.
type site struct {
	tree        *tree.Tree
	browserID   bool // a filter browserid is in the pipeline
	retry, tm   bool
	describe    func(tree.Kind, string) (tree.FactoryInfo, bool)
	parts       func() []part    // of the pipeline, with secrets hidden
	warnings    func() []warning // about the file
	application string           // the name of the app, and where it is named
	place       string
	filters     []string // the names of the filters in front of it, outermost first
	tmName      string   // the one of them that is a filter tm
}

// A part is a filter, an app or a pipeline, as it is shown.
type part struct {
	Depth    int           `json:"depth"`
	Kind     string        `json:"kind"`
	Name     string        `json:"name"`
	Use      string        `json:"use,omitempty"`
	Place    string        `json:"place,omitempty"`
	Settings []settingLine `json:"settings,omitempty"`
}

// A settingLine is a setting of a part.
type settingLine struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Place string `json:"place"` // file and line, or "default"
}

// A warning is one about the file, as it was logged at the start.
type warning struct {
	Text   string `json:"text"`
	Broken bool   `json:"broken"`
}

func newSite(b *pipeline.Build) *site {
	s := &site{
		tree: b.Tree(), describe: b.Describe,
		browserID: b.Offers(nil, order.BrowserID), retry: b.Offers(nil, order.Retry),
		tm: b.Offers(nil, order.TM),
	}
	// The tree is complete when the load has ended.
	s.parts = sync.OnceValue(func() []part {
		root := s.tree.Root
		shared := part{Kind: "settings", Name: "[DEFAULT]", Settings: s.settings(root, root.GlobalConf)}
		return s.describeNode([]part{shared}, root, 0)
	})
	s.warnings = sync.OnceValue(func() []warning {
		var list []warning
		for _, w := range s.tree.Warnings() {
			list = append(list, warning{s.tree.Conceal(w.String()), w.Broken})
		}
		return list
	})
	app := b.Tree().Root
	for app.App != nil || app.Next != nil {
		for _, filter := range append(slices.Clip(app.Filters), app.Filter) {
			if filter == nil {
				continue
			}
			name, _ := filter.Mention()
			s.filters = append(s.filters, strings.Trim(name, "[]"))
			if b.Offers(filter, order.TM) {
				s.tmName = s.filters[len(s.filters)-1]
			}
		}
		app = cmp.Or(app.App, app.Next)
	}
	name, at := app.Mention()
	s.application = strings.Trim(name, "[]")
	s.place = app.Source.String()
	if at != nil {
		s.place = tree.Position{File: at.File, Line: at.Line}.String()
	}
	return s
}

// describeNode appends a node and its parts, in the order in which a request passes them.
func (s *site) describeNode(parts []part, n *tree.Node, depth int) []part {
	p := part{Depth: depth, Kind: string(n.Kind), Name: s.tree.Conceal(n.Name)}
	if n.Factory != (tree.Factory{}) {
		if p.Use = s.tree.Conceal(n.Factory.String()); p.Use == p.Name {
			p.Use = ""
		}
	}
	p.Place = n.Source.String()
	if _, at := n.Mention(); at != nil && p.Use == "" && n.Factory != (tree.Factory{}) {
		p.Place = tree.Position{File: at.File, Line: at.Line}.String()
	}
	if n.Factory != (tree.Factory{}) || n.Kind == tree.KindPipeline {
		p.Settings = s.settings(n, n.LocalConf) // else the parts have them
	}
	if info, ok := s.describe(n.Kind, n.Factory.String()); ok {
		for _, setting := range info.Settings {
			if _, written := n.LocalConf.Get(setting.Key); !written && setting.HasDefault {
				p.Settings = append(p.Settings,
					settingLine{setting.Key, setting.Default, "default"})
			}
		}
	}
	parts = append(parts, p)
	for _, filter := range n.Filters {
		parts = s.describeNode(parts, filter, depth+1)
	}
	for _, inner := range []*tree.Node{n.App, n.Filter, n.Next} {
		if inner != nil {
			parts = s.describeNode(parts, inner, depth+1)
		}
	}
	for _, child := range n.Children {
		parts = s.describeNode(parts, child.Node, depth+1)
	}
	return parts
}

// settings returns the settings of a conf of n.
func (s *site) settings(n *tree.Node, conf *tree.Conf) []settingLine {
	var lines []settingLine
	for setting := range conf.All() {
		if setting.File != "" && setting.Line == 0 {
			continue // here and __file__
		}
		lines = append(lines, settingLine{
			Name: s.tree.Conceal(setting.Key), Value: short(s.tree.Shown(n, setting), mostValue),
			Place: cmp.Or(tree.Position{File: setting.File, Line: setting.Line}.String(),
				"given from outside"),
		})
	}
	return lines
}
