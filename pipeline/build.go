package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
)

// A Build carries the context in which a factory makes one object. It is valid during the call of
// the factory only, and not safe for concurrent use.
type Build struct {
	registry *Registry
	creation *creation
	node     *tree.Node
	factory  *factory
	jobs     int              // the number of calls of Go so far
	job      *observe.Request // of Context; nil: not yet made
}

// Context returns the context of Load. It covers the call of the factory, not work that goes on
// after the factory has returned. Its values may be used later on, too: it carries the
// [observe.Request] of the section's jobs, for the listeners of [Build.Observe].
func (b *Build) Context() context.Context {
	if b.job == nil {
		b.job = observe.NewJob(b.node.Name, nil)
		b.creation.seen = append(b.creation.seen, b.job)
	}
	return observe.NewContext(b.creation.ctx, b.job)
}

// Observe adds a listener, which is told what happens to the requests and jobs of the whole
// pipeline, whichever section it stands in. Listeners are called in the order of the calls of
// Observe.
func (b *Build) Observe(l observe.Listener) {
	b.creation.listeners = append(b.creation.listeners, l)
}

// Composed is a configuration whose objects have all been created, as [Build.OnLoad] tells it.
type Composed struct {
	// Tree is the configuration as data, with the children of composites. It must not be resolved
	// further after the function of OnLoad has returned.
	Tree *tree.Tree
	// Sessions are the session managers that apps have declared with [Build.RequireSessions].
	Sessions []interface{ Timeout() time.Duration }
}

// OnLoad registers f to be called when all factories of the load have succeeded, before the first
// job starts. The program may still discard the pipeline, as it does if the server's section has an
// error; [Build.OnClose] tells when.
func (b *Build) OnLoad(f func(Composed)) { b.creation.loaded = append(b.creation.loaded, f) }

// Name returns the name of the section, such as "app:main", or the reference of an inline member of
// a pipeline.
func (b *Build) Name() string { return b.node.Name }

// Factory returns the name or alias under which the factory that the section refers to is
// registered.
func (b *Build) Factory() string { return b.factory.name }

// Global returns a value of the global conf, the settings that apply to all sections: those of
// [DEFAULT], of "set" keys, and those given from outside when the program was started.
func (b *Build) Global(name string) (string, bool) {
	b.creation.tree.Use(name)
	s, ok := b.node.GlobalConf.Get(name)
	return s.Value, ok
}

// GlobalConf returns the whole global conf; see [Build.Global].
func (b *Build) GlobalConf() *tree.Conf {
	for s := range b.node.GlobalConf.All() {
		b.creation.tree.Use(s.Key)
	}
	return b.node.GlobalConf
}

// Debug reports whether the setting debug of the global conf is true, as [convert.AsBool] reads it. It is
// false if the setting is missing, and, with a warning, if the value is neither true nor false.
func (b *Build) Debug() bool { return b.creation.tree.Debug(b.node) }

// Logger returns a logger for the object that the factory makes; it is never nil.
func (b *Build) Logger() *slog.Logger {
	return b.creation.logger.With(slog.String("section", b.node.Name))
}

// OnClose registers f to be called when the pipeline is closed, or when loading it fails later on.
// The functions are called in reverse order of registration.
func (b *Build) OnClose(f func() error) { b.onClose("resources of its factory", f) }

func (b *Build) onClose(what string, f func() error) {
	b.creation.closers = append(b.creation.closers, closer{b.node.Name, what, f})
}

// Storage opens the database of a URI. All sections that are loaded with the same registry and name
// the same database share it. It is closed with the pipeline; the factory must not close it.
func (b *Build) Storage(uri string) (*storage.DB, error) {
	db, err := b.registry.opener.Open(b.creation.ctx, uri)
	if err != nil {
		return nil, err
	}
	b.onClose("the database "+redact.Text(uri), db.Close)
	return db, nil
}

// Opener returns the opener of the databases, for apps that report the state of all of them. A
// factory that uses a database opens it with [Build.Storage]. The Opener may be used after the
// factory has returned.
func (b *Build) Opener() *storage.Opener { return b.registry.opener }

// Recover adds a database to crash recovery until the pipeline is closed: as a Participant, a
// Recorder or both, as package transaction/recovery defines them. It is for databases that the
// factory opened itself; those opened with [Build.Storage] take part already.
func (b *Build) Recover(database any) {
	remove := b.registry.opener.Recovery().Add(database)
	b.OnClose(func() error {
		remove()
		return nil
	})
}

// ReadFile reads a file that a setting names, such as one with a secret, with the ReadFile of
// [Options]. A caller that watches the files of a configuration, as serve --reload does, so learns
// of it.
func (b *Build) ReadFile(name string) ([]byte, error) { return b.creation.tree.ReadFile(name) }

// Keep stores a value for the next load of the same section by a registry renewed from this one. It
// returns the value stored by the last successful load, or nil, so that a factory can tell what a
// reload changes.
func (b *Build) Keep(value any) (former any) {
	key := b.node.Source.File + "\n" + b.node.Name
	if b.creation.kept == nil {
		b.creation.kept = map[string]any{}
	}
	b.creation.kept[key] = value
	return b.registry.kept.get(key)
}

// Share makes a value known to the other factories of the same load, and returns the values of the
// same type that were shared before. Factories whose objects can't be combined find each other this
// way.
func (b *Build) Share(value any) (others []any) {
	typ := reflect.TypeOf(value)
	if b.creation.shared == nil {
		b.creation.shared = map[reflect.Type][]any{}
	}
	others = b.creation.shared[typ]
	b.creation.shared[typ] = append(slices.Clip(others), value)
	return others
}

// Warn records a warning about a key that works, but probably not as intended. The message says
// why, and what to write instead. It is logged once at the start, with file, line, section and key;
// the key may be "".
func (b *Build) Warn(key, message string) {
	b.creation.tree.Warn(b.node.Setting(key).NewWarning(message))
}

// App creates the app that a name stands for: a section, or a reference such as "egg:Dist#name".
// Name lookup and the global conf follow PasteDeploy's loader for composites. Errors have positions
// of their own: return each as it is, joined with those of the other children.
func (b *Build) App(name string) (http.Handler, error) {
	return child[http.Handler](b, tree.KindApp, name)
}

// Filter creates the filter that a name stands for, as App does.
func (b *Build) Filter(name string) (func(http.Handler) http.Handler, error) {
	return child[func(http.Handler) http.Handler](b, tree.KindFilter, name)
}

// child creates a child of a composite; T is the type of the objects of that kind.
func child[T any](b *Build, kind tree.Kind, name string) (T, error) {
	node, err := b.creation.tree.Child(b.node, kind, name)
	if node != nil {
		b.node.AddChild(name, node)
	}
	made, err := b.creation.all(node, err)
	object, _ := made.(T) // nil after an error
	return object, tree.JoinErrors(err)
}

// Routes declares the routes of an app by its router, for commands that list them: a chi router, or
// any other value with a method Patterns() []string, such as a [mount.Mux]. A factory that returns
// its router need not call it; one that returns another handler around the router does. It panics
// for a value that is no router.
func (b *Build) Routes(router any) {
	if b.creation.routers == nil {
		b.creation.routers = map[*tree.Node]any{}
	}
	b.creation.routers[b.node] = router
	patterns, ok := mount.Patterns(router)
	if !ok {
		panic(fmt.Sprintf("pipeline: Routes: a %T does not tell its patterns; use a mount.Mux in "+
			"place of an http.ServeMux, or call Patterns", router))
	}
	b.node.Patterns = patterns
}

// Patterns declares the routes of an app by their patterns, in the syntax of [http.ServeMux]: "GET
// /entries/{id}", or a path for all methods. It is for routers that [Build.Routes] does not know.
func (b *Build) Patterns(patterns ...string) { b.node.Patterns = append([]string{}, patterns...) }

var errNothing = errors.New("its factory returned nothing")
