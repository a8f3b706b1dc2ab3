package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
)

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
	root     *Node
	warnings []Warning
	files    []string
	close    func() error
	resolver *resolver
}

// Tree returns the node that was created.
func (l *loaded) Tree() *Node { return l.root }

// Warnings returns the warnings about the configuration, sorted by file and line. Load has logged
// them.
func (l *loaded) Warnings() []Warning { return l.warnings }

// Files returns the files that were read, in that order.
func (l *loaded) Files() []string { return l.files }

// Shown returns the value of a setting of n, a node of the tree, with secrets hidden; see
// [Tree.Shown].
func (l *loaded) Shown(n *Node, s Setting) string { return l.resolver.shown(n, s) }

// Locate adds positions to an error of a created object: an [Error] in it whose Key is a setting of
// the node gets the setting's position and value. The result shows no secrets of the files.
func (l *loaded) Locate(err error) error {
	faults := l.root.locate(err)
	for _, fault := range faults {
		fault.Origin = "" // the value is valid; the error comes from the current state
	}
	return l.resolver.conceal(sorted(faults))
}

// Close closes the resources of the factories in reverse order. A second call does nothing and
// returns the same error.
func (l *loaded) Close() error { return l.close() }

// Load composes the app that a configuration describes. The URI is the path of an .ini file, or a
// URI of PasteDeploy: "config:site.ini#name", "egg:Dist#name".
//
// The error is of type [Errors] and has all errors. After an error every resource that was opened
// has been closed again.
func Load(ctx context.Context, uri string, opts Options) (*Pipeline, error) {
	made, loaded, err := load(ctx, uri, KindApp, opts)
	if err != nil {
		return nil, err
	}
	return &Pipeline{made.(http.Handler), loaded}, nil //nolint:errcheck // of a KindApp node
}

// LoadServer creates the server that a configuration describes, as Load does the app.
func LoadServer(ctx context.Context, uri string, opts Options) (*LoadedServer, error) {
	made, loaded, err := load(ctx, uri, KindServer, opts)
	if err != nil {
		return nil, err
	}
	return &LoadedServer{made.(Server), loaded}, nil //nolint:errcheck // of a KindServer node
}

func load(ctx context.Context, uri string, kind Kind, opts Options) (made any, l loaded,
	err error,
) {
	if opts.Registry == nil {
		return nil, l, errors.New("pipeline: Options has no Registry")
	}
	r := newResolver(opts)
	root, err := r.start(uri, kind, opts)
	c := &creation{
		ctx: ctx, logger: opts.Logger, registry: opts.Registry, resolver: r,
		settings: map[*Node]reflect.Value{},
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	succeeded := false
	defer func() { // also when a factory panics
		if !succeeded {
			err = r.conceal(joinClosing(err, c.close()))
		}
	}()
	made, faults := c.all(root, err)
	if err := r.conceal(sorted(faults)); err != nil {
		return nil, l, err
	}
	succeeded = true
	if kind == KindApp {
		r.judge(root, opts.Part)
	}
	opts.Registry.kept.set(c.kept)
	l = loaded{
		root: root, resolver: r, warnings: r.sortedWarnings(), files: r.order,
		close: sync.OnceValue(c.close),
	}
	if !opts.NoJobs {
		for _, start := range c.jobs {
			start()
		}
	}
	for _, w := range l.warnings {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "check the configuration",
			slog.String("warning", w.String()))
	}
	return made, l, nil
}

func joinClosing(err, closing error) error {
	if closing == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("closing after the error: %w", closing))
}
