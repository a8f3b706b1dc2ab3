package serve

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
)

// checkOptions are the flags of serve check.
type checkOptions struct {
	outside
	appName, serverName string
	all, strict, quiet  bool
}

func checkCommand() command {
	return command{
		name: "check", args: "CONFIG [name=value ...]",
		summary: "check a file for errors, without starting anything",
		about: `
Does everything that serving the file would do, up to listening: it reads the file and its
includes, and creates the server, the filters and the apps with their settings. It checks that
every address, log file and database could be opened or created. Errors are printed on the
standard error, one a line, sorted by file and line, with the remedy. A pipeline in which requests
would fail or lose a guarantee is an error here, and a warning when a server starts.

The command changes nothing, and may run beside the server. The apps get empty databases in
memory. A database, port or socket that another process uses, perhaps the server of this file, is
reported as a note, and so are sockets that systemd will pass.

Exits 0 if the file is valid, 1 if not. With --strict, warnings are errors.`,
		examples: []example{
			{"serve check production.ini", "the app and the server main"},
			{
				"serve check site.ini --all --strict",
				"for CI: every app and server, and no warnings",
			},
			{
				"SITE_SECRET=$(cat secret) serve check production.ini --set server:main.port=80",
				"with the environment and settings of production",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o checkOptions
			o.setFlag(flags)
			nameFlag(flags, &o.appName,
				"`NAME` of the app or pipeline (default main)")
			flags.StringVar(&o.serverName, "server-name", "",
				"`NAME` of the server (default main)")
			flags.BoolVar(&o.all, "all", false, "check every app, pipeline and server of the file")
			flags.BoolVar(&o.strict, "strict", false, "treat warnings as errors")
			quietFlag(flags, &o.quiet, "print errors only")
			return o.run
		},
	}
}

func quietFlag(flags *flag.FlagSet, quiet *bool, text string) {
	flags.BoolVar(quiet, "q", false, text)
	flags.BoolVar(quiet, "quiet", false, text)
}

var errStrict = errors.New("warnings are errors with --strict")

func (o *checkOptions) run(ctx context.Context, c *call, args []string) error {
	config, err := o.arguments(args)
	if err != nil {
		return err
	}
	if o.all && (o.appName != "" || o.serverName != "") {
		return usagef("--all excludes -n and --server-name")
	}
	named := sections{apps: []string{o.appName}, servers: []string{o.serverName}}
	if o.all {
		if named, err = sectionsOf(config); err != nil {
			return err
		}
	}
	options := c.loadOptions(o.outside)
	var notes []string
	note := func(text string) {
		if !slices.Contains(notes, text) {
			notes = append(notes, text)
		}
	}
	engines := useStandIns(options.Registry, note)
	found := &findings{seen: map[tree.Warning]bool{}}
	warnings, err := c.checkLog(config, o.outside)
	found.warn(warnings)
	found.fault(err)
	var trees []*tree.Tree
	for _, name := range named.servers {
		options.Name = name
		server, err := pipeline.LoadServer(ctx, config, options)
		if err == nil {
			found.warn(server.Warnings())
			trees = append(trees, server.Tree())
			err = errors.Join(checkListen(ctx, server, note), server.Close())
		}
		found.fault(err)
	}
	for _, name := range named.apps {
		options.Name, options.Part = name, named.isPart(name)
		clear(engines)
		app, err := pipeline.Load(ctx, config, options)
		if err == nil {
			found.warn(app.Warnings())
			trees = append(trees, app.Tree())
			err = errors.Join(storage.CheckTwoPhase(engines), app.Close())
		} else if resolved, err := tree.Resolve(config, tree.KindApp, options.Tree()); err == nil {
			found.warn(resolved.Warnings())
		}
		found.fault(err)
	}
	if len(trees) == len(named.servers)+len(named.apps) { // a section with faults may use it
		found.warn(o.unused(trees...))
	}
	if !o.quiet || o.strict {
		slices.SortStableFunc(found.warnings, func(a, b tree.Warning) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		c.warn(found.warnings)
	}
	if err := tree.JoinErrors(found.faults...); err != nil {
		return err
	}
	if o.strict && len(found.warnings) > 0 {
		return errStrict
	}
	if o.quiet {
		return nil
	}
	for _, note := range notes {
		c.printError("note: " + note)
	}
	_, err = fmt.Fprintf(c.Out, "%s: OK\n", config)
	return err
}

// checkListen returns the errors that a server would have when it starts to listen. Those that may
// not occur at a real start are passed to note.
func checkListen(ctx context.Context, s *pipeline.LoadedServer, note func(text string)) error {
	checker, ok := s.Server.(pipeline.ListenChecker)
	if !ok {
		return nil
	}
	var errs []error
	all, _ := errors.AsType[tree.Errors](s.Locate(checker.CheckListen(ctx)))
	for _, err := range all {
		if errors.Is(err, pipeline.ErrUncertain) {
			note(err.Error())
		} else {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// findings are the errors and warnings of a check.
type findings struct {
	faults   []error
	warnings []tree.Warning
	seen     map[tree.Warning]bool
}

func (f *findings) fault(err error) { f.faults = append(f.faults, err) }

func (f *findings) warn(warnings []tree.Warning) {
	for _, w := range warnings {
		switch {
		case f.seen[w]:
		case w.Broken:
			f.seen[w] = true
			f.fault(w.Err())
		default:
			f.seen[w] = true
			f.warnings = append(f.warnings, w)
		}
	}
}

// sections are the names of the sections of a file that can be served.
type sections struct {
	apps, servers []string
	words         map[string][]string // the words in the values of each section
}

// sectionsOf returns the sections of the file of a CONFIG.
func sectionsOf(config string) (s sections, err error) {
	path, isFile := configPath(config)
	if !isFile {
		return s, usagef("--all needs a file, not %s", config)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return sections{apps: []string{""}}, nil //nolint:nilerr // the loader reports it
	}
	file, err := tree.Parse(path, text)
	if err != nil {
		return s, err
	}
	s.words = map[string][]string{}
	for _, section := range file.Sections() {
		for _, setting := range file.Settings(section) {
			s.words[section] = append(s.words[section], strings.Fields(setting.Raw)...)
		}
		prefix, name, ok := strings.Cut(section, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			continue
		}
		switch prefix {
		case "app", "application", "composite", "composit", "pipeline", "filter-app":
			s.apps = append(s.apps, name)
		case "server":
			s.servers = append(s.servers, name)
		}
	}
	return s, nil
}

// isPart reports whether another section seems to name an app, so that it is served with the
// filters of that section.
func (s sections) isPart(name string) bool {
	for section, words := range s.words {
		_, own, _ := strings.Cut(section, ":")
		if name != "main" && strings.TrimSpace(own) != name && slices.Contains(words, name) {
			return true
		}
	}
	return false
}
