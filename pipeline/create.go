package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// A creation creates the objects that a tree describes.
type creation struct {
	ctx      context.Context //nolint:containedctx // lives as long as the call of Load
	logger   *slog.Logger
	registry *Registry
	resolver *resolver
	settings map[*Node]reflect.Value // decoded; a node with faults has none
	closers  []closer
	jobs     []func() // started by Load when every factory has succeeded
	kept     map[string]any
	shared   map[reflect.Type][]any
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
func (c *creation) all(node *Node, unresolved error) (any, Errors) {
	faults := append(flatten(unresolved, nil), c.decode(node)...)
	if unresolved != nil {
		return nil, faults
	}
	made, more := c.create(node)
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, faults
	}
	return made, nil
}

// decode decodes the settings of a node and of its parts.
func (c *creation) decode(node *Node) Errors {
	if node == nil {
		return nil
	}
	if node.Factory == (Factory{}) {
		var faults Errors
		for _, part := range node.parts() {
			faults = append(faults, c.decode(part)...)
		}
		return faults
	}
	if !node.Registered {
		return Errors{node.notRegistered(c.registry)}
	}
	settings, faults := node.factory.schema.decode(node.LocalConf)
	if len(faults) > 0 {
		return node.locate(faults)
	}
	c.settings[node] = settings
	return nil
}

// create calls the factories of a node. For a node that could not be decoded it returns neither an
// object nor an error.
func (c *creation) create(node *Node) (any, Errors) {
	switch node.Kind {
	case KindPipeline:
		return c.pipeline(node)
	case KindFilterApp, KindFilterWith:
		return c.filtered(node)
	}
	settings, ok := c.settings[node]
	if !ok {
		return nil, nil
	}
	b := &Build{registry: c.registry, creation: c, node: node}
	made, err := node.factory.create(b, settings)
	if err == nil && isNil(made) {
		err = errNothing
	}
	if err != nil {
		return nil, node.locate(err)
	}
	if routes, ok := made.(chi.Routes); ok && node.routes == nil {
		node.routes = routes
	}
	return made, nil
}

func (c *creation) pipeline(node *Node) (any, Errors) {
	app, faults := c.create(node.App)
	filters := make([]any, len(node.Filters))
	ok := app != nil
	for i, part := range node.Filters {
		filter, more := c.create(part)
		filters[i] = filter
		faults = append(faults, more...)
		ok = ok && filter != nil
	}
	if !ok {
		return nil, faults
	}
	for _, filter := range slices.Backward(filters) {
		app = wrap(filter, app)
	}
	return app, nil
}

func (c *creation) filtered(node *Node) (any, Errors) {
	next, faults := c.create(node.Next)
	filter, more := c.create(node.Filter)
	if faults = append(faults, more...); next == nil || filter == nil {
		return nil, faults
	}
	if !node.wrapsFilter() {
		return wrap(filter, next), nil
	}
	return func(app http.Handler) http.Handler {
		return wrap(filter, wrap(next, app)).(http.Handler) //nolint:errcheck // a handler
	}, nil
}

// wrap applies a filter to an app. Both come from create, which checks their types.
func wrap(filter, app any) any {
	return filter.(func(http.Handler) http.Handler)(app.(http.Handler)) //nolint:errcheck // checked
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return (rv.Kind() == reflect.Func || rv.Kind() == reflect.Pointer) && rv.IsNil()
}

// locate converts an error of a factory or of the decoder into errors with positions: that of the
// setting, if the error has a key, else that of the node.
func (n *Node) locate(err error) Errors {
	return flatten(err, func(fault *Error) {
		if s := n.LocalConf.find(fault.Key); s != nil {
			at := s.fault(fault.Err, fault.Hint)
			fault.File, fault.Line, fault.Section, fault.Key = at.File, at.Line, at.Section, at.Key
			fault.Value, fault.Origin = at.Value, at.Origin
			fault.plain = n.knows(s.Key)
			if n.IsSecret(s.Key) {
				fault.Value, fault.Origin = hidden, ""
			}
			return
		}
		fault.File, fault.Line, fault.Section = n.Source.File, n.Source.Line, n.Source.Section
	})
}

// ErrNotRegistered is wrapped by the errors about a name for which the registry has no factory.
var ErrNotRegistered = errors.New("not registered")

// A notRegisteredError is an ErrNotRegistered with a message.
type notRegisteredError string

func (e notRegisteredError) Error() string { return string(e) }

func (notRegisteredError) Is(target error) bool { return target == ErrNotRegistered }

// notRegistered returns the error for a node without a factory. It suggests a registered name.
func (n *Node) notRegistered(registry *Registry) *Error {
	kind := KindApp
	switch {
	case strings.HasPrefix(n.Protocol, "paste.compos"):
		kind = KindComposite
	case n.Kind == KindFilter || n.Kind == KindServer:
		kind = n.Kind
	}
	name := n.Factory.String()
	fault := func(err error, hint string) *Error {
		f := n.written.fault("", err, hint)
		if f.File == "" {
			f.File, f.Line, f.Section = n.Source.File, n.Source.Line, n.Source.Section
		}
		return f
	}
	switch {
	case n.Protocol == "":
		return fault(fmt.Errorf("%s can't be used without a section", name),
			fmt.Sprintf("give it a section: [%s:name] use = %s", n.Kind, name))
	case strings.HasPrefix(n.Protocol, "paste.filter-app"):
		return fault(fmt.Errorf("a [filter-app:] can't use %s", name),
			"give it a [filter:] section and use that, or write paste.filter_factory = "+
				n.Factory.Object)
	}
	if n.Factory.Object != "" && !strings.Contains(n.Factory.Object, ":") {
		return fault(fmt.Errorf("%s is a module, not a function in one", n.Factory.Object),
			"write module:function")
	}
	for _, other := range []Kind{KindApp, KindComposite, KindFilter, KindServer} {
		if other != kind && registry.find(other, n.Factory) != nil {
			return fault(fmt.Errorf("%s is not registered as %s but as %s", name, kind, other),
				cmp.Or(n.written.order(kind), have(registry.known(kind))))
		}
	}
	if hint := registry.instead(kind, n.Factory); hint != "" {
		return fault(notRegisteredError(name+" is for programs in Python"), hint)
	}
	name = strings.TrimSuffix(name, "#main")
	err := notRegisteredError(fmt.Sprintf("no %s %q is registered", kind, name))
	if n.written.setting != nil && n.written.word == "" {
		err = notRegisteredError(fmt.Sprintf("no %s of that name is registered", kind))
	}
	line := fmt.Sprintf("pipeline.%s(r, %q, …)", map[Kind]string{
		KindApp: "App", KindComposite: "Composite", KindFilter: "Filter",
		KindServer: "ServerFactory",
	}[kind], name)
	if near, ok := nearest(name, registry.spellings(kind)); ok {
		return fault(err, fmt.Sprintf("did you mean %q? A program of your own registers others: %s",
			near, line))
	}
	f := fault(err, fmt.Sprintf("a program of your own registers it: %s in a function that "+
		"serve.Main is given", line))
	f.choices = fmt.Sprintf("registered as %s: %s", kind,
		strings.TrimPrefix(have(registry.known(kind)), "have: "))
	if len(registry.known(kind)) == 0 {
		f.choices = ""
	}
	return f
}
