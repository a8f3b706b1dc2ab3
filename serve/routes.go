package serve

import (
	"cmp"
	"context"
	"flag"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// routesOptions are the flags of serve routes.
type routesOptions struct {
	outside
	name string
	json bool
}

func routesCommand() command {
	return command{
		name: "routes", args: "CONFIG [name=value ...]",
		summary: "list the routes of the apps, with the filters in front of each",
		about: `
Creates the pipeline, as the command check does, and prints for each route the method, the
pattern, and the filters, composites and app that a request passes, from outside in. Behind a
composite, brackets enclose the setting that leads to the next part.

The routes are known for apps that are chi routers or a mount.Mux, which is an http.ServeMux that
knows its patterns, and for those whose factory calls Build.Routes or Build.Patterns. Any other
app, such as an http.ServeMux, has one line, with * as method and pattern. A route for all methods
has the method *.

With --json the output is for programs: each route has the keys method, host, pattern and
pipeline, a list. If the file has errors, they are in the list findings, as with check --json.
docs/json.md describes them.`,
		examples: []example{
			{"serve routes development.ini", "the routes of main"},
			{"serve routes site.ini -n blog", "the routes of the app blog"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o routesOptions
			o.setFlag(flags)
			nameFlag(flags, &o.name, "`NAME` of the app or pipeline (default main)")
			flags.BoolVar(&o.json, "json", false, "print JSON")
			return o.run
		},
	}
}

func (o *routesOptions) run(ctx context.Context, c *call, args []string) error {
	config, err := o.arguments(args)
	if err != nil {
		return err
	}
	routes, err := o.routes(ctx, c, config)
	if o.json {
		report := routesReport{config, routes, faultFindings(err)}
		return cmp.Or(writeJSON(c.Out, report), printedUnless(err == nil))
	}
	if err != nil {
		return err
	}
	lines := []string{"METHOD\tPATTERN\tPIPELINE"}
	for _, r := range routes {
		lines = append(lines, r.Method+"\t"+r.Host+r.Pattern+"\t"+strings.Join(r.Pipeline, " > "))
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	return w.Flush()
}

// A routesReport is the output of routes --json.
type routesReport struct {
	Config   string    `json:"config"`
	Routes   []route   `json:"routes"`
	Findings []finding `json:"findings"`
}

// routes returns the routes of the apps, sorted. It returns no nil slice.
func (o *routesOptions) routes(ctx context.Context, c *call, config string) ([]route, error) {
	load := c.loadOptions(o.outside)
	load.Name = o.name
	useStandIns(load.Registry, func(string) {})
	p, err := pipeline.Load(ctx, config, load)
	if err != nil {
		return []route{}, err
	}
	l := routeList{routes: []route{}}
	l.node(p.Tree().Root, place{}, nil)
	slices.SortStableFunc(l.routes, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Pattern, b.Pattern),
			cmp.Compare(a.Method, b.Method))
	})
	return l.routes, p.Close()
}

// A route is a line of the list.
type route struct {
	Method string `json:"method"` // "*" for all
	place
	Pipeline []string `json:"pipeline"` // the filters that a request passes, outermost first
}

// A place is the location of an app.
type place struct {
	Host    string `json:"host"`    // "" for all
	Pattern string `json:"pattern"` // of the path; without a trailing slash unless it is a route
}

// below returns the place that a key of a composite names: a path, perhaps with "domain NAME port
// NUMBER" in front. Any other key, such as app1 of a cascade, names the place of the composite
// itself.
func (p place) below(key string) place {
	words := strings.Fields(key)
	for i, word := range words {
		switch {
		case strings.HasPrefix(word, "/"):
			p.Pattern += strings.TrimRight(word, "/")
		case word == "domain" && i+1 < len(words):
			p.Host = words[i+1]
		case word == "port" && i+1 < len(words):
			p.Host += ":" + words[i+1]
		}
	}
	return p
}

type routeList struct{ routes []route }

// node adds the routes of a node behind the filters of way.
func (l *routeList) node(n *tree.Node, at place, way []string) {
	way = slices.Clip(way)
	switch n.Kind {
	case tree.KindPipeline:
		for _, filter := range n.Filters {
			way = append(way, through(filter)...)
		}
		l.node(n.App, at, way)
	case tree.KindFilterApp, tree.KindFilterWith:
		l.node(n.Next, at, append(way, through(n.Filter)...))
	case tree.KindComposite:
		for _, child := range n.Children {
			step := shortName(n)
			if child.Key != "" {
				step += "[" + redact.Key(child.Key) + "]"
			}
			if child.Node.Kind != tree.KindFilter {
				l.node(child.Node, at.below(child.Key), append(way, step))
			}
		}
		if len(n.Children) == 0 {
			l.app(n, at, way)
		}
	default:
		l.app(n, at, way)
	}
}

func (l *routeList) app(n *tree.Node, at place, way []string) {
	way = append(way, shortName(n))
	if n.Patterns == nil {
		l.routes = append(l.routes, route{"*", place{at.Host, at.Pattern + "/*"}, way})
		return
	}
	for _, pattern := range n.Patterns {
		l.routes = append(l.routes, at.route(pattern, way))
	}
}

// route returns the route of an app at p with a pattern "[METHOD ][HOST]/[PATH]".
func (p place) route(pattern string, way []string) route {
	method, rest, ok := strings.Cut(pattern, " ")
	if !ok {
		method, rest = "*", pattern
	}
	rest = strings.TrimLeft(rest, " \t")
	if slash := strings.IndexByte(rest, '/'); slash > 0 {
		p.Host, rest = rest[:slash], rest[slash:]
	}
	p.Pattern += rest
	return route{method, p, way}
}

// through returns the filters that a request passes in a filter, which may have another one around
// it.
func through(n *tree.Node) []string {
	if n.Kind == tree.KindFilterWith {
		return append(through(n.Filter), through(n.Next)...)
	}
	return []string{shortName(n)}
}

// shortName returns the name of a section without its prefix, or the reference of an inline node.
func shortName(n *tree.Node) string {
	if n.Name != n.Source.Section {
		return n.Name
	}
	prefix, name, ok := strings.Cut(n.Name, ":")
	if !ok {
		return prefix
	}
	return strings.TrimSpace(name)
}
