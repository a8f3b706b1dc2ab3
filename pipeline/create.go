package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/observe/observehttp"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A creation creates the objects that a tree describes.
type creation struct {
	ctx      context.Context //nolint:containedctx // lives as long as the call of Load
	logger   *slog.Logger
	registry *Registry
	tree     *tree.Tree
	settings map[*tree.Node]reflect.Value // decoded; a node with errors has none
	closers  []closer
	jobs     []func() // started by Load when every factory has succeeded
	kept     map[string]any
	shared   map[reflect.Type][]any
	routers  map[*tree.Node]any // of Build.Routes

	listeners []observe.Listener
	seen      []*observe.Request // of the jobs
	observers []func()           // called if there are listeners

	sessions []interface{ Timeout() time.Duration }
	loaded   []func(Composed)

	declarations map[*tree.Node]*declaration
}

func newCreation(ctx context.Context, t *tree.Tree, opts Options) *creation {
	c := &creation{
		ctx: ctx, logger: opts.Logger, registry: opts.Registry, tree: t,
		settings: map[*tree.Node]reflect.Value{}, declarations: map[*tree.Node]*declaration{},
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A closer closes one resource that a factory opened.
type closer struct {
	section string
	what    string // the resource, for a log message
	close   func() error
}

// patience is the time after which the log names a closer that has not returned.
const patience = 3 * time.Second

// close runs all closers in reverse order. A panic is reported as an error, because the process
// keeps running when a reload closes the old pipeline.
func (c *creation) close() error {
	var errs []error
	for _, f := range slices.Backward(c.closers) {
		errs = append(errs, c.contained(f))
	}
	c.closers = nil
	return errors.Join(errs...)
}

func (c *creation) contained(f closer) (err error) {
	said := time.AfterFunc(patience, func() {
		c.logger.Warn("closing takes long", slog.String("section", f.section),
			slog.String("waiting_for", f.what))
	})
	defer said.Stop()
	defer func() {
		if p := recover(); p != nil {
			c.logger.LogAttrs(c.ctx, slog.LevelError, "panic while closing", slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f.close()
}

// all creates a node and its parts, unless resolving it failed. All settings are decoded before the
// first factory is called. It goes on after an error, to report as many as possible, and then
// returns no object.
func (c *creation) all(node *tree.Node, unresolved error) (any, error) {
	err := errors.Join(unresolved, c.decode(node))
	if unresolved != nil {
		return nil, err
	}
	made, more := c.create(node)
	if err = errors.Join(err, more); err != nil {
		return nil, err
	}
	return made, nil
}

// decode decodes the settings of a node and of its parts.
func (c *creation) decode(node *tree.Node) error {
	if node == nil {
		return nil
	}
	if node.Factory == (tree.Factory{}) {
		var errs []error
		for _, part := range node.Parts() {
			errs = append(errs, c.decode(part))
		}
		return errors.Join(errs...)
	}
	f := c.registry.find(node.Kind, node.Factory)
	if !node.Registered || f == nil {
		return c.tree.NotRegistered(node)
	}
	settings, err := f.schema.decode(node.LocalConf)
	if err != nil {
		return node.Locate(err)
	}
	c.settings[node] = settings
	return nil
}

// create calls the factories of a node. For a node that could not be decoded it returns neither an
// object nor an error.
func (c *creation) create(node *tree.Node) (any, error) {
	switch node.Kind {
	case tree.KindPipeline:
		return c.pipeline(node)
	case tree.KindFilterApp, tree.KindFilterWith:
		return c.filtered(node)
	}
	settings, ok := c.settings[node]
	if !ok {
		return nil, nil
	}
	f := c.registry.find(node.Kind, node.Factory)
	made, err := f.create(&Build{registry: c.registry, creation: c, node: node, factory: f}, settings)
	if err == nil && isNil(made) {
		err = errNothing
	}
	if err != nil {
		return nil, node.Locate(err)
	}
	if node.Patterns == nil {
		node.Patterns, _ = mount.Patterns(made)
	}
	_, mux := made.(*http.ServeMux)
	if app, ok := made.(http.Handler); ok && (mux || node.Patterns != nil) {
		made = c.routedApp(node, app)
	}
	return made, nil
}

// A routed is a router whose routes the listeners learn, if there are any.
type routed struct{ http.Handler }

func (c *creation) routedApp(node *tree.Node, app http.Handler) *routed {
	r := &routed{app}
	router, inside := c.routers[node].(chi.Routes)
	if !inside {
		router, _ = app.(chi.Routes)
	}
	c.observers = append(c.observers,
		func() { r.Handler = observehttp.RouteOf(node.AppName(), router, app) })
	return r
}

// observe wraps the outermost handler, if a factory has added a listener or the logger is one.
func (c *creation) observe(h http.Handler) http.Handler {
	if c.logger.Enabled(c.ctx, slog.LevelDebug) {
		c.listeners = append(c.listeners, observe.NewLog(c.logger))
	}
	if len(c.listeners) == 0 {
		return h
	}
	l := observe.NewListeners(c.listeners...)
	for _, r := range c.seen {
		r.Listen(l)
	}
	for _, begin := range c.observers {
		begin()
	}
	name := lastApp(c.tree.Root).AppName()
	return observehttp.New(c.listeners...)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			observe.FromContext(r.Context()).SetRoute(name, "") // a composite may know better
			h.ServeHTTP(w, r)
		}))
}

// lastApp returns the app at the end of the filters of node.
func lastApp(node *tree.Node) *tree.Node {
	for {
		switch {
		case node.App != nil:
			node = node.App
		case node.Next != nil:
			node = node.Next
		default:
			return node
		}
	}
}

func (c *creation) pipeline(node *tree.Node) (any, error) {
	app, err := c.create(node.App)
	errs := []error{err}
	filters := make([]any, len(node.Filters))
	ok := app != nil
	for i, part := range node.Filters {
		filters[i], err = c.create(part)
		errs = append(errs, err)
		ok = ok && filters[i] != nil
	}
	if !ok {
		return nil, errors.Join(errs...)
	}
	for _, filter := range slices.Backward(filters) {
		app = wrap(filter, app)
	}
	return app, nil
}

func (c *creation) filtered(node *tree.Node) (any, error) {
	next, err := c.create(node.Next)
	filter, more := c.create(node.Filter)
	if next == nil || filter == nil {
		return nil, errors.Join(err, more)
	}
	if !node.WrapsFilter() {
		return wrap(filter, next), nil
	}
	return func(app http.Handler) http.Handler { return wrap(filter, wrap(next, app)) }, nil
}

// wrap applies a filter to an app. Both come from create, which checks their types.
func wrap(filter, app any) http.Handler {
	f, _ := filter.(func(http.Handler) http.Handler)
	h, _ := app.(http.Handler)
	return f(h)
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return (rv.Kind() == reflect.Func || rv.Kind() == reflect.Pointer) && rv.IsNil()
}
