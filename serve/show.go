package serve

import (
	"context"
	"errors"
	"flag"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/pipeline"
)

// showOptions are the flags of serve show.
type showOptions struct {
	outside
	name           string
	server, filter bool

	json, dot, svg bool
	reveal         bool
	defaults       bool
}

func showCommand() command {
	return command{
		name: "show", args: "CONFIG [name=value ...]", summary: "show what a file composes",
		about: `
It prints the tree that the file describes: each app, composite, filter and pipeline with its
settings, and where each setting comes from. Secrets are printed as ***. Nothing is created, and a
factory that is not registered is only marked, so this works for files of other programs too.

For programs there is --json. A node has the keys kind, name, use, protocol, registered,
global_conf, local_conf, source, filters, app, filter and next; those that do not apply to it are
left out. Kinds are app, composite, pipeline, filter, filter-app, filter-with and server. For a
picture there are --svg and, for Graphviz, --dot.

What is odd about the file goes to the standard error. Faults do too, each with file and line;
then the exit code is 1.`,
		examples: []example{
			{"serve show development.ini", "the app or pipeline main"},
			{"serve show site.ini -n blog debug=false", "another one, with a setting from outside"},
			{"serve show site.ini --server", "the server main"},
			{"serve show site.ini --svg > site.svg", "a picture of it"},
			{
				"serve show site.ini --json | jq -r '.filters[].use'",
				"the filters of a pipeline, for programs",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o showOptions
			o.setFlag(flags)
			nameFlag(flags, &o.name, "the `NAME` of what to show; main if not given")
			flags.BoolVar(&o.server, "server", false, "show a server")
			flags.BoolVar(&o.filter, "filter", false, "show a filter")
			flags.BoolVar(&o.json, "json", false, "print JSON")
			flags.BoolVar(&o.dot, "dot", false, "print a picture for Graphviz")
			flags.BoolVar(&o.svg, "svg", false, "print a picture for browsers")
			flags.BoolVar(&o.reveal, "reveal", false, "print secrets as they are")
			flags.BoolVar(&o.defaults, "defaults", false,
				"print settings that are not written, with their defaults, too")
			return o.run
		},
	}
}

// nameFlag defines the flag for a section's name, as in pserve. An empty name is an error: it may
// come from an unset shell variable.
func nameFlag(flags *flag.FlagSet, name *string, text string) {
	set := func(value string) error {
		if *name = value; value == "" {
			return errors.New("want the name of a section")
		}
		return nil
	}
	flags.Func("n", text, set)
	flags.Func("app-name", text, set)
}

func (o *showOptions) run(_ context.Context, c *call, args []string) error {
	config, err := o.arguments(args)
	if err != nil {
		return err
	}
	if only(o.server, o.filter) > 1 {
		return usagef("--server and --filter exclude each other")
	}
	if only(o.json, o.dot, o.svg) > 1 {
		return usagef("--json, --dot and --svg exclude each other")
	}
	load := c.loadOptions(o.outside)
	load.Name = o.name
	options := show.Options{
		Registry: load.Registry, Reveal: o.reveal, Defaults: o.defaults,
		Color: wantsColor(c.Out),
	}
	kind := pipeline.KindApp
	if o.server || o.filter {
		kind = pipeline.KindServer
		if o.filter {
			kind = pipeline.KindFilter
		}
		// A secret of the app may be in [DEFAULT], and so be visible from here.
		app := load
		app.Name = ""
		if tree, err := pipeline.Resolve(config, pipeline.KindApp, app); err == nil {
			options.Others = append(options.Others, tree)
		}
	}
	tree, err := pipeline.Resolve(config, kind, load)
	if err != nil {
		return err
	}
	c.warn(tree.Warnings)
	view := show.New(tree, options)
	switch {
	case o.json:
		return view.JSON(c.Out)
	case o.dot:
		return view.DOT(c.Out)
	case o.svg:
		return view.SVG(c.Out)
	}
	return view.Text(c.Out)
}

// only returns the number of flags that are set.
func only(flags ...bool) int {
	n := 0
	for _, set := range flags {
		if set {
			n++
		}
	}
	return n
}
