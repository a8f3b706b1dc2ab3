package serve

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline/tree"
)

func listCommand() command {
	return command{
		name: "list", args: "[KIND]",
		summary: "list the apps, filters, servers and databases that .ini files can use",
		about: `
Prints the names of all registered apps, composites, filters and servers, with their other names,
and the kinds of databases. KIND is app, composite, filter or server, to print that kind only.

With --json the output has the list factories, each with kind, name and aliases, and the list
databases. docs/json.md describes it.

With --schema the output is a JSON schema (draft 2020-12) of the settings of all sections, for
editors that complete .ini files: an object by kind of section, by name, and by key, with the type,
default, bounds, choices and purpose of each setting.`,
		examples: []example{
			{"serve list", "everything"},
			{"serve list filters", "the filters"},
			{"serve list --schema > settings.schema.json", "all settings, for an editor"},
		},
		setup: func(flags *flag.FlagSet) runner {
			o := listOptions{}
			flags.BoolVar(&o.json, "json", false, "print JSON")
			flags.BoolVar(&o.schema, "schema", false, "print a JSON schema of all settings")
			return o.run
		},
	}
}

// listOptions are the flags of serve list.
type listOptions struct{ json, schema bool }

// A listReport is the output of list --json.
type listReport struct {
	Factories []listedFactory `json:"factories"`
	Databases []string        `json:"databases"` // the schemes of their URIs; empty for one kind
}

type listedFactory struct {
	Kind    tree.Kind `json:"kind"`
	Name    string    `json:"name"`
	Aliases []string  `json:"aliases"`
}

func (o *listOptions) run(_ context.Context, c *call, args []string) error {
	kinds := factoryKinds
	switch len(args) {
	case 0:
	case 1:
		kind, ok := kindNamed(args[0])
		if !ok {
			return usagef("unknown kind %q; want app, composite, filter or server", args[0])
		}
		kinds = []tree.Kind{kind}
	default:
		return usagef("want one kind at most, not %d words", len(args))
	}
	registry := standardRegistry(c.register)
	switch {
	case o.json && o.schema:
		return usagef("--json and --schema exclude each other")
	case o.schema && len(args) > 0:
		return usagef("--schema is about all kinds, and takes no KIND")
	case o.schema:
		return writeJSON(c.Out, settingsSchema(registry.DescribeAll()))
	case o.json:
		report := listReport{[]listedFactory{}, []string{}}
		for _, info := range registry.DescribeAll() {
			if slices.Contains(kinds, info.Kind) {
				report.Factories = append(report.Factories, listedFactory{
					info.Kind, info.Name, append([]string{}, info.Aliases...),
				})
			}
		}
		if len(args) == 0 {
			report.Databases = append(report.Databases, registry.Opener().Schemes()...)
		}
		return writeJSON(c.Out, report)
	}
	var b strings.Builder
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%ss:\n", kind)
		none := true
		for _, info := range registry.DescribeAll() {
			if info.Kind != kind {
				continue
			}
			none = false
			fmt.Fprintf(&b, "  %s\n", info.Name)
			for _, alias := range info.Aliases {
				fmt.Fprintf(&b, "      or %s\n", alias)
			}
		}
		if none {
			b.WriteString("  none\n")
		}
	}
	if len(args) == 0 {
		b.WriteString("databases:\n")
		for _, scheme := range registry.Opener().Schemes() {
			fmt.Fprintf(&b, "  %s://\n", scheme)
		}
	}
	_, err := io.WriteString(c.Out, b.String())
	return err
}
