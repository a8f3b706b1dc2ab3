package serve

import (
	"context"
	"errors"
	"flag"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/internal/command/terminal"
	"github.com/pasteline/pasteline/pipeline/tree"
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
Prints the tree that the file describes: each app, composite, filter and pipeline with its
settings, and the file and line of each setting. Secrets are printed as ***. Nothing is created,
and a factory that is not registered is only marked, so the command also works for files of other
programs.

With --json the output is for programs. A node has the keys kind, name, use, protocol, registered,
global_conf, local_conf, source, filters, app, filter and next; those that do not apply are left
out. Kinds are app, composite, pipeline, filter, filter-app, filter-with and server. With --svg or
--dot (Graphviz) the output is a picture.

Warnings go to the standard error. Errors do too, each with file and line; the exit code is then
1.`,
		examples: []example{
			{"serve show development.ini", "the app or pipeline main"},
			{"serve show site.ini -n blog debug=false", "the app blog, with one setting given"},
			{"serve show site.ini --server", "the server main"},
			{"serve show site.ini --svg > site.svg", "a picture of the pipeline"},
			{
				"serve show site.ini --json | jq -r '.filters[].use'",
				"the filters of the pipeline, one a line",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o showOptions
			o.setFlag(flags)
			nameFlag(flags, &o.name, "`NAME` of the section (default main)")
			flags.BoolVar(&o.server, "server", false, "show a server")
			flags.BoolVar(&o.filter, "filter", false, "show a filter")
			flags.BoolVar(&o.json, "json", false, "print JSON")
			flags.BoolVar(&o.dot, "dot", false, "print a picture for Graphviz, in DOT")
			flags.BoolVar(&o.svg, "svg", false, "print a picture for browsers, in SVG")
			flags.BoolVar(&o.reveal, "reveal", false, "print secrets in clear text")
			flags.BoolVar(&o.defaults, "defaults", false,
				"also print settings that have their default")
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
		Color: terminal.HasColors(c.Out),
	}
	kind := tree.KindApp
	if o.server || o.filter {
		kind = tree.KindServer
		if o.filter {
			kind = tree.KindFilter
		}
		// A secret of the app may be in [DEFAULT], and so be visible from here.
		app := load
		app.Name = ""
		if resolved, err := tree.Resolve(config, tree.KindApp, app.Tree()); err == nil {
			options.Others = append(options.Others, resolved)
		}
	}
	resolved, err := tree.Resolve(config, kind, load.Tree())
	if err != nil {
		return err
	}
	c.warn(resolved.Warnings())
	view := show.New(resolved, options)
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
