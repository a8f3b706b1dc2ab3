package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// A Registry maps the names that .ini files use to factories. It is filled by plain functions of the form
//
//	func Register(r *pipeline.Registry)
//
// before the first Load, and only read afterwards; then it is safe for concurrent use. Everything that is loaded with one
// registry shares the databases that it opens.
//
// Names are what a file writes: "egg:Dist#name", where "egg:Dist" is "egg:Dist#main", or "call:module:function", which is
// also what a paste.app_factory = module:function finds. Apps, composites, filters and servers have namespaces of their own.
// To register a name twice is a programming fault: it panics, and names both places.
type Registry struct {
	factories map[Kind]map[string]*factory
	remedies  map[Kind]map[string]string // by name, in the one form that names are compared in
	values    map[reflect.Type]map[string]named
	opener    *storage.Opener
	kept      *kept
	jobs      *jobs
}

// A factory makes apps, composites, filters or servers of one kind.
type factory struct {
	kind   Kind
	name   string   // as it was registered
	place  string   // where that was
	order  int      // how many of the kind were there before
	of     *factory // what it is another name of; nil for itself
	schema *schema
	create func(b *Build, settings reflect.Value) (any, error)
}

type named struct {
	value any
	place string
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return newRegistry(storage.NewOpener(), &kept{values: map[string]any{}}, &jobs{})
}

// Renew returns an empty registry that shares with r the databases that are open. With it, a program loads a configuration
// anew while what it has loaded with r still runs: a database that both name stays open from one to the other. It also has what
// factories have kept with [Build.Keep].
func (r *Registry) Renew() *Registry { return newRegistry(r.opener.Renew(), r.kept, r.jobs) }

// kept is what factories keep from one load to the next.
type kept struct {
	mu     sync.Mutex
	values map[string]any
}

func (k *kept) get(key string) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.values[key]
}

func (k *kept) set(values map[string]any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.Copy(k.values, values)
}

func newRegistry(opener *storage.Opener, kept *kept, jobs *jobs) *Registry {
	return &Registry{
		factories: map[Kind]map[string]*factory{},
		remedies:  map[Kind]map[string]string{},
		values:    map[reflect.Type]map[string]named{},
		opener:    opener,
		kept:      kept,
		jobs:      jobs,
	}
}

// App registers an app factory, for "use = name" in an [app:] section and for the last member of a pipeline.
//
// S is a struct of settings. Its exported fields are the keys that a section may have, with the tags
//
//	ini:"name"      the key (default: the field's name in snake_case); ini:"*" on a map[string]string,
//	                or, to have them in order and with their positions, a []Setting, takes all that no other field has;
//	                ini:"-" is no setting
//	default:"3"     what an absent key means
//	help:"..."      one sentence for the documentation
//	secret:"true"   the value is never shown; so it is, unless this is "false", of a string whose key has a word such as
//	                password, secret or token
//	required:"true" oneof:"a b c" min:"1" max:"9"
//	nonempty:"true" refuses a line without a value, where that says nothing
//
// Types are string, bool ([AsBool]), integers ([AsInt]), floats, [time.Duration] ("30s", or a plain number of seconds),
// []string ([AsList]), [Bytes], [Secret], and whatever is an [encoding.TextUnmarshaler]. A key that is unknown, missing or
// malformed is reported with its position before any factory runs. A method Validate() error on S or *S sees the whole; an
// [Error] with a Key that it, or the factory, returns gets that key's position. A method Hint(key string) string says what to
// write in place of a key that S does not have, such as another program's word for one that it has; "" says nothing.
func App[S any](r *Registry, name string, f func(b *Build, settings S) (http.Handler, error)) {
	register(r, KindApp, name, f)
}

// Composite registers a factory of an app that is made of others, which it gets by [Build.App]. S is as for [App].
func Composite[S any](r *Registry, name string, f func(b *Build, settings S) (http.Handler, error)) {
	register(r, KindComposite, name, f)
}

// Filter registers a filter factory. S is as for [App]. For a filter without settings there is [Middleware].
func Filter[S any](r *Registry, name string, f func(b *Build, settings S) (func(http.Handler) http.Handler, error)) {
	register(r, KindFilter, name, f)
}

// Middleware registers a filter that has no settings, as any func(http.Handler) http.Handler is one:
//
//	pipeline.Middleware(r, "egg:chi#request-id", middleware.RequestID)
func Middleware(r *Registry, name string, m func(http.Handler) http.Handler) {
	register(r, KindFilter, name, func(*Build, struct{}) (func(http.Handler) http.Handler, error) { return m, nil })
}

// ServerFactory registers a server factory. S is as for [App].
func ServerFactory[S any](r *Registry, name string, f func(b *Build, settings S) (Server, error)) {
	register(r, KindServer, name, f)
}

// register is called by the exported functions only: its caller's caller is the place that is named on a clash.
func register[S, T any](r *Registry, kind Kind, name string, f func(b *Build, settings S) (T, error)) {
	place := callerOf(2)
	key, err := registeredName(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %v", place, kind, err))
	}
	schema, err := newSchema(reflect.TypeFor[S]())
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %q: %v", place, kind, name, err))
	}
	r.add(key, &factory{
		kind: kind, name: name, place: place, schema: schema,
		create: func(b *Build, settings reflect.Value) (any, error) {
			made, err := f(b, settings.Interface().(S)) //nolint:errcheck // decoded by S's own schema
			if err != nil {
				return nil, err
			}
			return made, nil
		},
	})
}

func (r *Registry) add(key string, f *factory) {
	if other, ok := r.factories[f.kind][key]; ok {
		panic(fmt.Sprintf("pipeline: %s %q is registered twice, at %s and at %s", f.kind, f.name, other.place, f.place))
	}
	if r.factories[f.kind] == nil {
		r.factories[f.kind] = map[string]*factory{}
	}
	f.order = len(r.factories[f.kind])
	r.factories[f.kind][key] = f
}

// origin is what an alias, or an alias of an alias, stands for.
func (f *factory) origin() *factory {
	if f.of != nil {
		return f.of
	}
	return f
}

// Alias registers another name for what name stands for, in every kind that has it. The name must have been registered.
func (r *Registry) Alias(alias, name string) {
	place := callerOf(1)
	aliasKey, err := registeredName(alias)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: alias %v", place, err))
	}
	key, err := registeredName(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: alias %q of %v", place, alias, err))
	}
	found := false
	for _, kind := range []Kind{KindApp, KindComposite, KindFilter, KindServer} {
		if f, ok := r.factories[kind][key]; ok {
			found = true
			other := *f
			other.name, other.place, other.of = alias, place, f.origin()
			r.add(aliasKey, &other)
		}
	}
	if !found {
		panic(fmt.Sprintf("pipeline: %s: alias %q: nothing is registered as %q yet", place, alias, name))
	}
}

// Instead says what to do about a name that files of other programs have, and that stands for nothing here: the hint of the
// fault that names it. The entry point may be "*", for every other one of the distribution. What is registered under the name
// counts all the same.
func (r *Registry) Instead(kind Kind, name, hint string) {
	key, err := registeredName(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %v", callerOf(1), kind, err))
	}
	if r.remedies[kind] == nil {
		r.remedies[kind] = map[string]string{}
	}
	r.remedies[kind][key] = hint
}

// Elsewhere returns what [Registry.Instead] said about a name, "" if it said nothing.
func (r *Registry) Elsewhere(kind Kind, f Factory) string { return r.instead(kind, f) }

// instead is Elsewhere, also without a registry.
func (r *Registry) instead(kind Kind, f Factory) string {
	if r == nil {
		return ""
	}
	if hint, ok := r.remedies[kind][f.key()]; ok || f.Dist == "" {
		return hint
	}
	f.EntryPoint = "*"
	return r.remedies[kind][f.key()]
}

// Opener returns what [Build.Storage] opens databases with, so that engines can register with it: bolt.Register(r.Opener()).
func (r *Registry) Opener() *storage.Opener { return r.opener }

// Engine registers a storage engine under a URI scheme, for [Build.Storage].
func (r *Registry) Engine(scheme string, open engine.OpenFunc) { r.opener.Register(scheme, open) }

// Value registers a named value of type T, such as a predicate that a setting names. Each type has names of its own.
func Value[T any](r *Registry, name string, v T) {
	place, typ := callerOf(1), reflect.TypeFor[T]()
	if other, ok := r.values[typ][name]; ok {
		panic(fmt.Sprintf("pipeline: %v %q is registered twice, at %s and at %s", typ, name, other.place, place))
	}
	if r.values[typ] == nil {
		r.values[typ] = map[string]named{}
	}
	r.values[typ][name] = named{v, place}
}

// Lookup returns the value of type T that was registered under name. The error of a miss suggests the nearest name, or
// lists what there is; return it as the Err of an [Error] with the Key of the setting.
func Lookup[T any](b *Build, name string) (T, error) {
	values := b.registry.values[reflect.TypeFor[T]()]
	if v, ok := values[name]; ok {
		return v.value.(T), nil //nolint:errcheck // Value put it under this type
	}
	var zero T
	return zero, fmt.Errorf("%q is not registered; %s", name, didYouMean(name, slices.Collect(maps.Keys(values))))
}

func (r *Registry) find(kind Kind, f Factory) *factory {
	if r == nil {
		return nil
	}
	return r.factories[kind][f.key()]
}

// names returns what is registered of a kind, sorted, without aliases.
func (r *Registry) names(kind Kind) []string {
	var names []string
	if r != nil {
		for _, f := range r.factories[kind] {
			if f.of == nil {
				names = append(names, f.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// known returns the names of what is registered of a kind as files have them that were not written for this program: of what has
// a name of ours the first other one, if there is one.
func (r *Registry) known(kind Kind) []string {
	first := map[*factory]*factory{}
	if r != nil {
		isOurs := func(f *factory) bool { return strings.HasPrefix(f.name, "egg:pasteline#") }
		for _, f := range r.factories[kind] {
			other := first[f.origin()]
			if other == nil || isOurs(other) || !isOurs(f) && f.order < other.order {
				first[f.origin()] = f
			}
		}
	}
	var names []string
	for _, f := range first {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// spellings returns what is registered of a kind, with aliases.
func (r *Registry) spellings(kind Kind) []string {
	var names []string
	for _, f := range r.factories[kind] {
		names = append(names, f.name)
	}
	return names
}

func callerOf(skip int) string {
	_, file, line, _ := runtime.Caller(skip + 1)
	return fmt.Sprintf("%s:%d", file, line)
}

// A ListenChecker is a [Server] that can tell what Listen would fail with, and does not listen.
type ListenChecker interface {
	CheckListen(ctx context.Context) error
}

// ErrUncertain is wrapped by errors of a [ListenChecker] that need not come at a start: another process listens there, which may
// be the server that is to be started again, or what listens is passed by another process.
var ErrUncertain = errors.New("may be otherwise at a start")

// A Server listens and serves one handler.
type Server interface {
	// Listen opens the listeners; the addresses are the real ones (port 0 resolved).
	Listen(ctx context.Context) ([]net.Addr, error)
	// Serve serves h until Shutdown or a fault; it returns nil after Shutdown.
	Serve(h http.Handler) error
	// Shutdown stops accepting, and waits for what runs until ctx is done.
	Shutdown(ctx context.Context) error
}
