package show

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// A node is the JSON form of a tree.Node. Keys that do not apply are left out.
type node struct {
	Kind       tree.Kind         `json:"kind"`
	Name       string            `json:"name"`
	Use        string            `json:"use,omitempty"`
	Protocol   string            `json:"protocol,omitempty"`
	Registered *bool             `json:"registered,omitempty"`
	GlobalConf map[string]string `json:"global_conf"`
	LocalConf  map[string]string `json:"local_conf"`
	Source     string            `json:"source,omitempty"`
	Filters    []*node           `json:"filters,omitzero"`
	App        *node             `json:"app,omitempty"`
	Filter     *node             `json:"filter,omitempty"`
	Next       *node             `json:"next,omitempty"`
}

// JSON writes the tree for programs. A node has the keys kind, name, use, protocol, registered,
// global_conf, local_conf, source ("file:line"), filters, app, filter and next; those that do not
// apply to its kind are left out. Values of settings are strings. A factory that a file names in
// the form paste.app_factory = module:function has the use "call:module:function".
func (v *View) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v.node(v.tree.Root))
}

func (v *View) node(n *tree.Node) *node {
	if n == nil {
		return nil
	}
	m := &node{
		Kind: n.Kind, Name: v.key(n.Name), Protocol: n.Protocol, Source: position(n.Source),
		GlobalConf: v.conf(n, n.GlobalConf), LocalConf: v.conf(n, n.LocalConf),
		App: v.node(n.App), Filter: v.node(n.Filter), Next: v.node(n.Next),
	}
	if n.Factory != (tree.Factory{}) {
		m.Use, m.Registered = v.key(n.Factory.String()), &n.Registered
	}
	if n.Kind == tree.KindPipeline {
		m.Filters = []*node{} // [] rather than null
	}
	for _, filter := range n.Filters {
		m.Filters = append(m.Filters, v.node(filter))
	}
	return m
}

func (v *View) conf(n *tree.Node, conf *tree.Conf) map[string]string {
	m := make(map[string]string, conf.Len())
	for s := range conf.All() {
		m[v.key(s.Key)] = v.raw(n, s)
	}
	return m
}

func position(p tree.Position) string {
	if p.File == "" || p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
