package serve

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/command/migrate"
	"github.com/pasteline/pasteline/internal/command/scaffold"
	"github.com/pasteline/pasteline/internal/redact"
)

func migrateCommand() command {
	return command{
		name: "migrate", args: "CONFIG [DIR] [name=value ...]",
		summary: "create a project from the .ini file of a Python program",
		about: `
Prints what the file composes, what has to be written in Go, with the lines that register it, and
which lines have another meaning here or none. The file is only read.

With DIR it writes a project that starts: a copy of the file and its includes, and for each app
and filter that has to be written a function that answers 501 (Not Implemented) with its name. A
filter that is not written yet passes no request on, because it may be the one that checks
log-ins. Parts of the standard set work at once. Existing files in DIR are not overwritten.

A line that can't stay becomes a comment in the copy that begins with "# (migrate)"; missing
parts, such as a server, are added at its end. Settings given as name=value are added to
[DEFAULT], and --set replaces a line. Secrets are not printed, and stay in the copy.

Errors that have to be corrected by hand go to the standard error, each with file and line; the
exit code is then 1, and nothing is written.`,
		examples: []example{
			{"serve migrate production.ini", "a report"},
			{"serve migrate production.ini site", "a project in the folder site"},
			{
				"serve migrate production.ini site http_port=8080",
				"for a file whose port is given on the command line",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o migrateOptions
			o.setFlag(flags)
			o.setFlags(flags)
			return o.run
		},
	}
}

// migrateOptions are the flags of serve migrate.
type migrateOptions struct {
	newOptions
	outside
}

func (o *migrateOptions) run(ctx context.Context, c *call, args []string) error {
	dir := ""
	if len(args) > 1 && !strings.Contains(args[1], "=") {
		dir, args = args[1], slices.Delete(slices.Clone(args), 1, 2)
	}
	given := &o.outside
	config, err := given.arguments(args)
	if err != nil {
		return err
	}
	if _, isFile := configPath(config); !isFile || strings.Contains(config, "#") {
		return usagef("want the path of an .ini file, such as production.ini, not %q",
			redact.Key(config))
	}
	plan, err := migrate.Read(ctx, config, migrate.Options{
		Standard: Standard, Idle: isIdle,
		Global: given.global, Set: given.set,
	})
	if err != nil {
		c.printError(fmt.Sprintf("%s can't be served yet, and nothing was written; correct a copy "+
			"of it, or give the missing values:", redact.Key(config)))
		return err
	}
	if dir == "" {
		if err := plan.Report(c.Out); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.Out, "\nNothing was written. To write a project: %s migrate %s "+
			"FOLDER\n", c.program, scaffold.QuoteForShell(config))
		return err
	}
	project := o.config(dir)
	files, err := plan.Write(project)
	if err != nil {
		return err
	}
	if err := plan.Report(c.Out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "\nWritten:\n\n  %s\n\nNext: %sgo test ./... && go run . %s\n",
		strings.Join(files,
			"\n  "), next(project), scaffold.QuoteForShell(filepath.FromSlash(plan.Main())))
	return err
}

// config returns the configuration of a project in a folder.
func (o *newOptions) config(dir string) scaffold.Config {
	config := scaffold.Config{Dir: dir, Module: o.module, Source: o.source}
	if config.Source == "" {
		info, _ := debug.ReadBuildInfo()
		config.Version, config.Source = sourceOf(info)
	}
	return config
}

// next returns the steps before the first command in a new project.
func next(config scaffold.Config) string {
	next := ""
	if filepath.Clean(config.Dir) != "." {
		next = "cd " + scaffold.QuoteForShell(config.Dir) + " && "
	}
	switch {
	case config.Source != "":
	case config.Version != "":
		next += "go mod tidy && "
	default:
		next += "see go.mod for what to do before "
	}
	return next
}
