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
	"sync"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// A Registry maps the names that .ini files use to factories. Plain functions of the form
//
//	func Register(r *pipeline.Registry)
//
// fill it before the first Load. It is read-only from then on, and safe for concurrent use. All
// objects that are loaded with one registry share the databases that it opens.
//
// Names have the form in which files write them: "egg:Dist#name", where "egg:Dist" means
// "egg:Dist#main", or "call:module:function", which paste.app_factory = module:function finds too.
// Apps, composites, filters and servers have separate namespaces. Registering a name twice is a
// programming error: it panics, and the message names both places.
type Registry struct {
	factories map[tree.Kind]map[string]*factory
	remedies  map[tree.Kind]map[string]string // hints of Instead, by normalised name
	values    map[reflect.Type]map[string]named
	opener    *storage.Opener
	kept      *kept
	jobs      *jobs
	around    []func(b *Build) (func(http.Handler) http.Handler, error)
}

// A factory creates apps, composites, filters or servers.
type factory struct {
	kind   tree.Kind
	name   string   // as registered
	place  string   // file and line of the registration
	order  int      // number of factories of the kind registered before
	of     *factory // the factory that an alias names; nil if it is no alias
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

// Renew returns an empty registry that shares with r the open databases, and the values that
// factories stored with [Build.Keep]. With it, a program reloads a configuration while the pipeline
// loaded with r still runs: a database that both name stays open.
func (r *Registry) Renew() *Registry { return newRegistry(r.opener.Renew(), r.kept, r.jobs) }

// kept holds the values of [Build.Keep] from one load to the next.
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
		factories: map[tree.Kind]map[string]*factory{},
		remedies:  map[tree.Kind]map[string]string{},
		values:    map[reflect.Type]map[string]named{},
		opener:    opener,
		kept:      kept,
		jobs:      jobs,
	}
}

// App registers an app factory, for "use = name" in an [app:] section and for the last member of a
// pipeline.
//
// S is a struct of settings. Its exported fields are the keys that a section may have, with these
// tags:
//
//	ini:"name"      the key (default: the field's name in snake_case); ini:"*" takes all keys that
//	                no other field has, on a map[string]string, or on a []tree.Setting for order
//	                and positions;
//	                ini:"-" is no setting
//	default:"3"     the value of an absent key
//	help:"..."      one sentence for the documentation
//	secret:"true"   the value is never shown; the default for a string whose key has a word such
//	                as password, secret or token ("false" turns it off)
//	required:"true" oneof:"a b c" min:"1" max:"9"
//	nonempty:"true" an empty value is an error
//
// Types are string, bool ([convert.AsBool]), integers ([convert.AsInt]), floats, [time.Duration] ("30s", or a plain
// number of seconds), []string ([convert.AsList]), [Bytes], [Secret], and every [encoding.TextUnmarshaler].
// A key that is unknown, missing or malformed is reported with its position before any factory is
// called. A method Validate() error on S or *S checks the whole struct. An [Error] with a Key that
// Validate or the factory returns gets that key's position. A method Hint(key string) string
// returns the hint for a key that S does not have, such as another program's name for one of its
// keys; "" means no hint.
func App[S any](r *Registry, name string, f func(b *Build, settings S) (http.Handler, error)) {
	register(r, tree.KindApp, name, f)
}

// Composite registers a factory of an app made of other apps, which the factory creates with
// [Build.App]. S is as for [App].
func Composite[S any](r *Registry, name string,
	f func(b *Build, settings S) (http.Handler, error),
) {
	register(r, tree.KindComposite, name, f)
}

// Filter registers a filter factory. S is as for [App]. A filter without settings can use
// [Middleware].
func Filter[S any](r *Registry, name string,
	f func(b *Build, settings S) (func(http.Handler) http.Handler, error),
) {
	register(r, tree.KindFilter, name, f)
}

// Middleware registers a filter without settings: any func(http.Handler) http.Handler.
//
//	pipeline.Middleware(r, "egg:chi#request-id", middleware.RequestID)
func Middleware(r *Registry, name string, m func(http.Handler) http.Handler) {
	register(r, tree.KindFilter, name, func(*Build, struct{}) (func(http.Handler) http.Handler,
		error,
	) {
		return m, nil
	})
}

// ServerFactory registers a server factory. S is as for [App].
func ServerFactory[S any](r *Registry, name string, f func(b *Build, settings S) (Server, error)) {
	register(r, tree.KindServer, name, f)
}

// register is called by exported functions only: it names the caller of its caller in the panic
// about a duplicate.
func register[S, T any](r *Registry, kind tree.Kind, name string,
	f func(b *Build, settings S) (T, error),
) {
	place := callerOf(2)
	key, err := tree.FactoryKey(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %v", place, kind, err))
	}
	schema, err := knownSchema(reflect.TypeFor[S]())
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %q: %v", place, kind, name, err))
	}
	r.add(key, &factory{
		kind: kind, name: name, place: place, schema: schema,
		create: func(b *Build, settings reflect.Value) (any, error) {
			s, _ := reflect.TypeAssert[S](settings) // decoded by the schema of S
			made, err := f(b, s)
			if err != nil {
				return nil, err
			}
			return made, nil
		},
	})
}

func (r *Registry) add(key string, f *factory) {
	if other, ok := r.factories[f.kind][key]; ok {
		panic(fmt.Sprintf("pipeline: %s %q is registered twice, at %s and at %s", f.kind, f.name,
			other.place, f.place))
	}
	if r.factories[f.kind] == nil {
		r.factories[f.kind] = map[string]*factory{}
	}
	f.order = len(r.factories[f.kind])
	r.factories[f.kind][key] = f
}

// origin resolves an alias, or an alias of an alias.
func (f *factory) origin() *factory {
	if f.of != nil {
		return f.of
	}
	return f
}

// Alias registers another name for a registered name, in every kind that has it.
func (r *Registry) Alias(alias, name string) {
	place := callerOf(1)
	aliasKey, err := tree.FactoryKey(alias)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: alias %v", place, err))
	}
	key, err := tree.FactoryKey(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: alias %q of %v", place, alias, err))
	}
	found := false
	for _, kind := range []tree.Kind{tree.KindApp, tree.KindComposite, tree.KindFilter, tree.KindServer} {
		if f, ok := r.factories[kind][key]; ok {
			found = true
			other := *f
			other.name, other.place, other.of = alias, place, f.origin()
			r.add(aliasKey, &other)
		}
	}
	if !found {
		panic(fmt.Sprintf("pipeline: %s: alias %q: nothing is registered as %q yet", place,
			alias, name))
	}
}

// Instead registers a hint for a name that files of other programs use and that has no factory
// here. The error about the name shows it. The entry point may be "*", for all others of the
// distribution. A factory of that name takes precedence.
func (r *Registry) Instead(kind tree.Kind, name, hint string) {
	key, err := tree.FactoryKey(name)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %s: %s %v", callerOf(1), kind, err))
	}
	if r.remedies[kind] == nil {
		r.remedies[kind] = map[string]string{}
	}
	r.remedies[kind][key] = hint
}

// Elsewhere returns the hint that [Registry.Instead] registered for a name, or "".
func (r *Registry) Elsewhere(kind tree.Kind, f tree.Factory) string {
	if hint, ok := r.remedies[kind][f.Key()]; ok || f.Dist == "" {
		return hint
	}
	f.EntryPoint = "*"
	return r.remedies[kind][f.Key()]
}

// Opener returns the opener that [Build.Storage] uses, so that engines can register with it:
// bolt.Register(r.Opener()).
func (r *Registry) Opener() *storage.Opener { return r.opener }

// Engine registers a storage engine under a URI scheme, for [Build.Storage].
func (r *Registry) Engine(scheme string, open engine.OpenFunc) { r.opener.Register(scheme, open) }

// Value registers a named value of type T, such as a predicate that a setting names. Each type has
// a separate namespace.
func Value[T any](r *Registry, name string, v T) {
	place, typ := callerOf(1), reflect.TypeFor[T]()
	if other, ok := r.values[typ][name]; ok {
		panic(fmt.Sprintf("pipeline: %v %q is registered twice, at %s and at %s", typ, name,
			other.place, place))
	}
	if r.values[typ] == nil {
		r.values[typ] = map[string]named{}
	}
	r.values[typ][name] = named{v, place}
}

// Lookup returns the value of type T that is registered under name. The error for an unknown name
// suggests the nearest name, or lists all names; return it as the Err of an [Error] with the Key of
// the setting.
func Lookup[T any](b *Build, name string) (T, error) {
	values := b.registry.values[reflect.TypeFor[T]()]
	if v, ok := values[name]; ok {
		value, _ := v.value.(T) // stored by Value
		return value, nil
	}
	var zero T
	return zero, fmt.Errorf("%q is not registered; %s", name,
		suggest.DidYouMean(name, slices.Collect(maps.Keys(values))))
}

func (r *Registry) find(kind tree.Kind, f tree.Factory) *factory { return r.factories[kind][f.Key()] }

func callerOf(skip int) string {
	_, file, line, _ := runtime.Caller(skip + 1)
	return fmt.Sprintf("%s:%d", file, line)
}

// A ListenChecker is a [Server] that can predict the error of Listen without listening.
type ListenChecker interface {
	CheckListen(ctx context.Context) error
}

// ErrUncertain is wrapped by errors of a [ListenChecker] that a real start may not meet: the
// process that listens at the address may be the server that is to be restarted, or a listener may
// be passed by another process.
var ErrUncertain = errors.New("may be otherwise at a start")

// A Server listens and serves one handler. It may have a method DrainDelay() time.Duration, the time
// that it goes on accepting after it was told to stop, and before Shutdown, so that load balancers
// notice.
type Server interface {
	// Listen opens the listeners. It returns the real addresses (port 0 resolved).
	Listen(ctx context.Context) ([]net.Addr, error)
	// Serve serves h until Shutdown or an error; it returns nil after Shutdown.
	Serve(h http.Handler) error
	// Shutdown stops accepting connections, and waits for running requests until ctx is done.
	Shutdown(ctx context.Context) error
}
