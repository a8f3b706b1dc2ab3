package serve

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/command/progress"
	programversion "github.com/pasteline/pasteline/internal/version"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
)

// checkOptions are the flags of serve check.
type checkOptions struct {
	outside
	appName, serverName string
	all, strict, quiet  bool
	json, sarif         bool
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

With --json or --sarif, errors, warnings and notes go to the standard output, for programs: each
has a severity and the id of its rule, and those that apply of file, line, section, key, message
and hint. docs/json.md describes them. SARIF 2.1.0 is a format for editors and CI systems.

Exits 0 if the file is valid, 1 if not. With --strict, warnings are errors.`,
		examples: []example{
			{"serve check production.ini", "the app and the server main"},
			{
				"serve check site.ini --all --strict",
				"for CI: every app and server, and no warnings",
			},
			{"serve check site.ini --sarif > site.sarif", "for editors and code scanning in CI"},
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
			flags.BoolVar(&o.json, "json", false, "print the findings as JSON")
			flags.BoolVar(&o.sarif, "sarif", false, "print the findings as SARIF 2.1.0")
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
	if only(o.json, o.sarif) > 1 {
		return usagef("--json and --sarif exclude each other")
	}
	found := &findings{seen: map[tree.Warning]bool{}}
	if named, err := o.sections(config); err == nil {
		task := c.screen.Start(slog.New(slog.DiscardHandler), "checking "+config)
		o.check(ctx, c, config, named, found, task)
		task.Stop()
	} else if _, isUsage := errors.AsType[*usageError](err); isUsage {
		return err
	} else {
		found.fault(err)
	}
	switch {
	case o.json:
		all := found.all(o.strict, o.quiet)
		ok := valid(all)
		report := checkReport{Config: config, Valid: ok, Findings: all}
		return cmp.Or(writeJSON(c.Out, report), printedUnless(ok))
	case o.sarif:
		all := found.all(o.strict, o.quiet)
		info, _ := debug.ReadBuildInfo()
		return cmp.Or(writeSARIF(c.Out, config, programversion.Of(info), all), printedUnless(valid(all)))
	}
	return o.print(c, config, found)
}

// A checkReport is the output of check --json.
type checkReport struct {
	Config   string    `json:"config"`
	Valid    bool      `json:"valid"`
	Findings []finding `json:"findings"`
}

// sections returns the sections to check.
func (o *checkOptions) sections(config string) (sections, error) {
	if o.all {
		return sectionsOf(config)
	}
	return sections{apps: []string{o.appName}, servers: []string{o.serverName}}, nil
}

// check adds its findings in the sections of a file.
func (o *checkOptions) check(ctx context.Context, c *call, config string, named sections,
	found *findings, task *progress.Task,
) {
	done, total := 0, len(named.servers)+len(named.apps)
	options := c.loadOptions(o.outside)
	engines := useStandIns(options.Registry, func(text string) {
		found.note(&tree.Error{Err: errors.New(text)})
	})
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
			err = errors.Join(checkListen(ctx, server, found), server.Close())
		}
		found.fault(err)
		done++
		task.Count(done, total)
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
		done++
		task.Count(done, total)
	}
	if len(trees) == total { // a section with faults may use it
		found.warn(o.unused(trees...))
	}
	slices.SortStableFunc(found.warnings, func(a, b tree.Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// print prints the findings as lines.
func (o *checkOptions) print(c *call, config string, found *findings) error {
	if !o.quiet || o.strict {
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
	for _, note := range found.notes {
		c.printError("note: " + note.Error())
	}
	_, err := fmt.Fprintf(c.Out, "%s: OK\n", config)
	return err
}

// checkListen returns the errors that a server would have when it starts to listen. Those that may
// not occur at a real start become notes of found.
func checkListen(ctx context.Context, s *pipeline.LoadedServer, found *findings) error {
	checker, ok := s.Server.(pipeline.ListenChecker)
	if !ok {
		return nil
	}
	var errs []error
	all, _ := errors.AsType[tree.Errors](s.Locate(checker.CheckListen(ctx)))
	for _, err := range all {
		if errors.Is(err, pipeline.ErrUncertain) {
			found.note(err)
		} else {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// findings are the errors, warnings and notes of a check.
type findings struct {
	faults   []error
	warnings []tree.Warning
	notes    []*tree.Error
	seen     map[tree.Warning]bool
}

// all returns what the check prints, in the form of --json, sorted by file and line.
func (f *findings) all(strict, quiet bool) []finding {
	all := faultFindings(errors.Join(f.faults...))
	if strict {
		all = append(all, adviceFindings(severityError, f.warnings)...)
	} else if !quiet {
		all = append(all, adviceFindings(severityWarning, f.warnings)...)
	}
	if !quiet {
		for _, note := range f.notes {
			all = append(all, newFinding(severityNote, "unchecked", note.Finding()))
		}
	}
	sortFindings(all)
	return all
}

// note adds a note, once.
func (f *findings) note(note *tree.Error) {
	if !slices.ContainsFunc(f.notes,
		func(other *tree.Error) bool { return other.Error() == note.Error() }) {
		f.notes = append(f.notes, note)
	}
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
