package serve

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pasteline/pasteline/pipeline/tree"
)

func listCommand() command {
	return command{
		name: "list", args: "[KIND]",
		summary: "list the apps, filters, servers and databases that .ini files can use",
		about: `
Prints the names of all registered apps, composites, filters and servers, with their other names,
and the kinds of databases. KIND is app, composite, filter or server, to print that kind only.`,
		examples: []example{
			{"serve list", "everything"},
			{"serve list filters", "the filters"},
		},
		setup: withoutFlags(list),
	}
}

func list(_ context.Context, c *call, args []string) error {
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
