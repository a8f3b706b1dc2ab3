package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// Options select the configuration to load and its environment.
type Options struct {
	// Name is the name of the section without the prefix; "" means "main". A "#name" at the end of
	// the URI has the same meaning.
	Name string
	// Global are settings given from outside, by the caller: factories get them in place of those
	// of [DEFAULT], while interpolation uses [DEFAULT] first, as in PasteDeploy.
	Global map[string]string
	// Set replaces or adds settings of the file that the URI names: each element is
	// "section.key=value", such as "server:main.port=80". Values are literal, and take precedence
	// over [DEFAULT] and Global. Files that this one includes are left as they are.
	Set []string
	// Part says that the pipeline is part of a longer one: a missing filter in front of it is no
	// error then, see [order.Requirement].
	Part bool
	// NoJobs disables the jobs of [Build.Go] and [Build.Every], for a pipeline that is only
	// inspected or serves a single request.
	NoJobs bool
	// Registry has the factories.
	Registry *Registry
	// Logger receives the logs of factories and the warnings. Nil discards them.
	Logger *slog.Logger
	// RelativeTo is the directory that a "config:" URI with a relative path starts from. A plain
	// path needs none.
	RelativeTo string
	// ReadFile reads a file; nil means os.ReadFile. Its argument is the path of the URI; for
	// included files, the first file's directory with the path of the reference; or the argument of
	// [Build.ReadFile]. So it also learns every file that a load depends on, whether the load
	// succeeds or not.
	ReadFile func(name string) ([]byte, error)
}

// Tree returns the options that [tree.Resolve] takes: those of a load that do not concern objects.
func (o Options) Tree() tree.Options {
	t := tree.Options{
		Name: o.Name, Global: o.Global, Set: o.Set, RelativeTo: o.RelativeTo, ReadFile: o.ReadFile,
	}
	if o.Registry != nil {
		t.Catalog = o.Registry
	}
	return t
}

// An Error is an error about a setting. A factory, or the Validate method of its settings, returns
// one with the Key, the rule that is broken as Err and, where it helps, a Hint: what to write
// instead. The loader adds the position and the value.
type Error = tree.Error

// A Pipeline is an app with the filters around it, as a configuration composes them. Its Handler is
// the handler that the outermost filter returned, so composing adds no cost to a request.
type Pipeline struct {
	http.Handler
	loaded
}

// A LoadedServer is a server that a [server:] section describes.
type LoadedServer struct {
	Server
	loaded
}

// loaded is the common part of Pipeline and LoadedServer: the data about a created configuration.
type loaded struct {
	tree  *tree.Tree
	close func() error
}

// Tree returns the configuration as data, with the children and routes of the created objects. It
// is safe for concurrent use as long as it is not resolved further.
func (l *loaded) Tree() *tree.Tree { return l.tree }

// Warnings returns the warnings about the configuration, sorted by file and line. Load has logged
// them.
func (l *loaded) Warnings() []tree.Warning { return l.tree.Warnings() }

// Locate adds positions to an error of a created object: an [Error] in it whose Key is a setting of
// the object gets the setting's position and value. The result shows no secrets of the files.
func (l *loaded) Locate(err error) error {
	errs := l.tree.Root.Locate(err)
	for _, e := range errs {
		e.Origin = "" // the value is valid; the error comes from the current state
	}
	return l.tree.ConcealErrors(tree.JoinErrors(errs))
}

// Close closes the resources of the factories in reverse order. A second call does nothing and
// returns the same error.
func (l *loaded) Close() error { return l.close() }

// Load composes the app that a configuration describes. The URI is the path of an .ini file, or a
// URI of PasteDeploy: "config:site.ini#name", "egg:Dist#name".
//
// The error is of type [tree.Errors] and has all errors. After an error every resource that was opened
// has been closed again.
func Load(ctx context.Context, uri string, opts Options) (*Pipeline, error) {
	made, loaded, err := load[http.Handler](ctx, uri, tree.KindApp, opts)
	if err != nil {
		return nil, err
	}
	return &Pipeline{made, loaded}, nil
}

// LoadServer creates the server that a configuration describes, as Load does the app.
func LoadServer(ctx context.Context, uri string, opts Options) (*LoadedServer, error) {
	made, loaded, err := load[Server](ctx, uri, tree.KindServer, opts)
	if err != nil {
		return nil, err
	}
	return &LoadedServer{made, loaded}, nil
}

// load resolves a configuration and creates its object; T is the type of the objects of that kind.
func load[T any](ctx context.Context, uri string, kind tree.Kind, opts Options) (
	object T, l loaded, err error,
) {
	if opts.Registry == nil {
		return object, l, errors.New("pipeline: Options has no Registry")
	}
	t, unresolved := tree.ResolvePartly(uri, kind, opts.Tree())
	made, l, err := create(ctx, t, unresolved, kind, opts)
	object, _ = made.(T) // nil after an error
	return object, l, err
}

// create creates the objects of a tree, unless resolving it failed.
func create(ctx context.Context, t *tree.Tree, unresolved error, kind tree.Kind, opts Options) (
	made any, l loaded, err error,
) {
	c := newCreation(ctx, t, opts)
	succeeded := false
	defer func() { // also when a factory panics
		if !succeeded {
			err = t.ConcealErrors(joinClosing(err, c.close()))
		}
	}()
	made, err = c.all(t.Root, unresolved)
	if err := t.ConcealErrors(tree.JoinErrors(err)); err != nil {
		return nil, l, err
	}
	if app, ok := made.(http.Handler); ok && kind == tree.KindApp {
		c.checkOrder(t.Root, opts.Part)
		if made, err = c.around(app); err != nil {
			return nil, l, t.ConcealErrors(tree.JoinErrors(err))
		}
	}
	succeeded = true
	opts.Registry.kept.set(c.kept)
	for _, f := range c.loaded {
		f(Composed{Tree: t, Sessions: c.sessions})
	}
	if !opts.NoJobs {
		for _, start := range c.jobs {
			start()
		}
	}
	for _, w := range t.Warnings() {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "check the configuration",
			slog.String("warning", w.String()))
	}
	return made, loaded{tree: t, close: sync.OnceValue(c.close)}, nil
}

func joinClosing(err, closing error) error {
	if closing == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("closing after the error: %w", closing))
}
