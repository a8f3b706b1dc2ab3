package serve

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/pasteline/pasteline/internal/command/scaffold"
	programversion "github.com/pasteline/pasteline/internal/version"
)

// newOptions are the flags of serve new and serve migrate.
type newOptions struct{ module, source string }

func newCommand() command {
	return command{
		name: "new", args: "DIR",
		summary: "create a project: an app and a filter in Go, .ini files, a test",
		about: `
Creates the folder DIR if it does not exist; the project has its name. Existing files are not
overwritten.

The project is a Go module that requires the version of Pasteline which this program was built
with. A program that was built from a working tree has no such version; the project then uses that
tree.`,
		examples: []example{
			{"serve new guestbook", "a project with the module example.com/guestbook"},
			{"serve new guestbook --module github.com/acme/guestbook", "with another module path"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o newOptions
			o.setFlags(flags)
			return o.run
		},
	}
}

func (o *newOptions) setFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.module, "module", "",
		"`PATH` of the module (default example.com/NAME)")
	flags.StringVar(&o.source, "source", "",
		"use the source of Pasteline in `FOLDER`, not a published version")
}

func (o *newOptions) run(_ context.Context, c *call, args []string) error {
	if len(args) != 1 {
		return usagef("want one folder, such as guestbook")
	}
	config := o.config(args[0])
	files, err := scaffold.New(config)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s\n\nNext: %sgo test && go run . development.ini\n",
		strings.Join(files, "\n"), next(config))
	return err
}

// sourceOf returns the origin of this library in the build: a published version, or else a folder,
// if it still exists.
func sourceOf(info *debug.BuildInfo) (version, folder string) {
	if info == nil {
		return "", ""
	}
	m := &info.Main
	if m.Path != programversion.Module {
		m = nil
		for _, dep := range info.Deps {
			if dep.Path == programversion.Module {
				m = dep
			}
		}
	}
	// A downloaded module has a checksum, a local one has none.
	if m != nil && m.Replace == nil && m.Sum != "" {
		return m.Version, ""
	}
	_, file, _, ok := runtime.Caller(0)
	folder = filepath.Dir(filepath.Dir(file))
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); !ok || err != nil ||
		!filepath.IsAbs(folder) {
		return "", "" // built with -trimpath, or elsewhere
	}
	return "", folder
}
