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

// A Pipeline is an app with the filters around it, as a configuration composes them. Its Handler is what the filters
// return, called directly: composing costs nothing when a request is served.
type Pipeline struct {
	http.Handler
	loaded
}

// A LoadedServer is a server that a [server:] section describes.
type LoadedServer struct {
	Server
	loaded
}

// loaded is what there is to know of something that was created from a configuration.
type loaded struct {
	root     *Node
	warnings []Warning
	files    []string
	close    func() error
	resolver *resolver
}

// Tree returns the node that was created.
func (l *loaded) Tree() *Node { return l.root }

// Warnings returns what is odd about the configuration, sorted by file and line; Load has logged it.
func (l *loaded) Warnings() []Warning { return l.warnings }

// Files returns every file that was read, the first one first.
func (l *loaded) Files() []string { return l.files }

// Shown returns the value of a setting of n, a node of the tree, as it may be shown; see [Tree.Shown].
func (l *loaded) Shown(n *Node, s Setting) string { return l.resolver.shown(n, s) }

// Locate completes an error of something that was created: the Key of an [Error] in it is a setting of the node, and gets
// its position and value. The error shows no secrets of the files.
func (l *loaded) Locate(err error) error {
	faults := l.root.locate(err)
	for _, fault := range faults {
		fault.Origin = "" // the value is right, and only what is there now forbids it
	}
	return l.resolver.conceal(sorted(faults))
}

// Close closes what the factories opened, in reverse order. A second call does nothing and returns the same.
func (l *loaded) Close() error { return l.close() }

// Load composes the app that a configuration describes. The URI is the path of an .ini file, or a URI of PasteDeploy:
// "config:site.ini#name", "egg:Dist#name".
//
// The error is of type [Errors] and has every fault; then everything that was opened has been closed again.
func Load(ctx context.Context, uri string, opts Options) (*Pipeline, error) {
	made, loaded, err := load(ctx, uri, KindApp, opts)
	if err != nil {
		return nil, err
	}
	return &Pipeline{made.(http.Handler), loaded}, nil //nolint:errcheck // what a node of kind app makes
}

// LoadServer makes the server that a configuration describes, as Load does the app.
func LoadServer(ctx context.Context, uri string, opts Options) (*LoadedServer, error) {
	made, loaded, err := load(ctx, uri, KindServer, opts)
	if err != nil {
		return nil, err
	}
	return &LoadedServer{made.(Server), loaded}, nil //nolint:errcheck // what a node of kind server makes
}

func load(ctx context.Context, uri string, kind Kind, opts Options) (made any, l loaded, err error) {
	if opts.Registry == nil {
		return nil, l, errors.New("pipeline: Options has no Registry")
	}
	r := newResolver(opts)
	root, err := r.start(uri, kind, opts)
	c := &creation{ctx: ctx, logger: opts.Logger, registry: opts.Registry, resolver: r, settings: map[*Node]reflect.Value{}}
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
	l = loaded{root: root, resolver: r, warnings: r.sortedWarnings(), files: r.order, close: sync.OnceValue(c.close)}
	if !opts.NoJobs {
		for _, start := range c.jobs {
			start()
		}
	}
	for _, w := range l.warnings {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "check the configuration", slog.String("warning", w.String()))
	}
	return made, l, nil
}

func joinClosing(err, closing error) error {
	if closing == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("closing what had been opened: %w", closing))
}
