package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
)

// outside are the settings given on the command line.
type outside struct {
	global map[string]string // name=value, as in [DEFAULT]
	set    []string          // --set section.key=value
}

// setFlag defines --set.
func (o *outside) setFlag(flags *flag.FlagSet) {
	const text = "replace a setting of the file, as `SECTION.KEY=VALUE`, " +
		"such as server:main.port=80; repeatable"
	flags.Func("set", text, func(assignment string) error {
		if name, _, ok := strings.Cut(assignment, "="); !ok || !strings.Contains(name, ".") {
			return errors.New("want SECTION.KEY=VALUE, such as server:main.port=80")
		}
		o.set = append(o.set, assignment)
		return nil
	})
}

// arguments splits the arguments of a command into the CONFIG and settings name=value, which are
// added to those of [DEFAULT].
func (o *outside) arguments(args []string) (config string, err error) {
	if len(args) == 0 {
		return "", usagef("want the path of an .ini file, such as development.ini")
	}
	o.global = map[string]string{}
	for _, arg := range args[1:] {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return "", usagef("want name=value after the .ini file, not %q", redact.Key(arg))
		}
		o.global[name] = value
	}
	return args[0], nil
}

// unused returns a warning for each setting from outside that none of the trees uses.
func (o *outside) unused(trees ...*tree.Tree) []tree.Warning {
	var warnings []tree.Warning
	for _, name := range slices.Sorted(maps.Keys(o.global)) {
		if slices.ContainsFunc(trees, func(t *tree.Tree) bool { return t.Uses(name) }) {
			continue
		}
		message := "given on the command line, but not used"
		for _, t := range trees {
			if near, ok := t.Similar(name); ok {
				message = fmt.Sprintf("%s; did you mean %s=…?", message, redact.Key(near))
				break
			}
		}
		warnings = append(warnings, tree.Warning{Key: name, Message: message})
	}
	return warnings
}

// configPath returns the path of the file that a CONFIG names, as "site.ini#name" and
// "config:site.ini" do, but not "egg:…".
func configPath(config string) (string, bool) {
	path, _, _ := strings.Cut(config, "#")
	if scheme, rest, ok := strings.Cut(path, ":"); ok && filepath.VolumeName(path) == "" {
		switch strings.ToLower(scheme) {
		case "config":
			return rest, true
		case "egg", "call":
			return "", false
		}
	}
	return path, true
}

// loadOptions returns the options of all commands that load or resolve a configuration.
func (c *call) loadOptions(given outside) pipeline.Options {
	return pipeline.Options{
		NoJobs: true,
		Global: given.global, Set: given.set, Registry: standardRegistry(c.register),
		RelativeTo: ".", // of "config:site.ini", as with pserve; errors name files as the user does
	}
}

// useStandIns replaces every database that is opened through r with an empty one in memory, so that
// a command can create a pipeline beside the running server without side effects. Each real
// database is checked once, to see whether it can be opened or created. One that another process
// uses can't be checked, which is passed to note. The engines that were opened are returned by the
// names that errors have for them, with nil for one that was not.
func useStandIns(r *pipeline.Registry, note func(text string)) (engines map[string]engine.Engine) {
	engines = map[string]engine.Engine{}
	r.Opener().Intercept(func(ctx context.Context, uri *url.URL,
		open engine.OpenFunc,
	) (engine.Engine, error) {
		bare := *uri
		bare.RawQuery = ""
		name := redact.Value("", bare.String())
		engines[name] = nil
		e, err := open(engine.DryRun(ctx), uri)
		switch {
		case errors.Is(err, storage.ErrInUse):
			note(redact.Value("", uri.String()) +
				" is in use by another process; skipped")
		case err != nil:
			return nil, err
		default:
			engines[name] = e
			if err := e.Close(); err != nil {
				return nil, err
			}
		}
		return engine.StandIn{Engine: memory.New("stand-in").Engine(), Scheme: uri.Scheme}, nil
	})
	return engines
}

// warn prints warnings about a configuration.
func (c *call) warn(warnings []tree.Warning) {
	for _, w := range warnings {
		w.Message = "warning: " + w.Message
		c.printError(w)
	}
}
