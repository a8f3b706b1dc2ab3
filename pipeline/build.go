package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/storage"
)

// A Build is what a factory gets to build with. It is for use during the call of the factory only, by one goroutine.
type Build struct {
	registry *Registry
	creation *creation
	node     *Node
	jobs     int // how many Go was given
}

// Context is that of Load: for what the factory does itself, not for what goes on when it has returned.
func (b *Build) Context() context.Context { return b.creation.ctx }

// Name is the name of the section, such as "app:main", or the reference of what stands inline in a pipeline.
func (b *Build) Name() string { return b.node.Name }

// Factory is the name, perhaps an alias, under which the registry has the factory that the section refers to.
func (b *Build) Factory() string { return b.node.factory.name }

// Global returns a value of the global conf: what [DEFAULT], "set", and whoever started the program say to all.
func (b *Build) Global(name string) (string, bool) {
	b.creation.resolver.use(name)
	s, ok := b.node.GlobalConf.Get(name)
	return s.Value, ok
}

// GlobalConf returns the whole global conf.
func (b *Build) GlobalConf() *Conf {
	for _, key := range b.node.GlobalConf.keys {
		b.creation.resolver.use(key)
	}
	return b.node.GlobalConf
}

// Debug reports whether the global conf's debug is true, as [AsBool] reads it. It is false when there is none, and, with a
// warning, when it is neither true nor false.
func (b *Build) Debug() bool {
	b.creation.resolver.use("debug")
	return b.creation.resolver.debug(b.node)
}

// Logger returns a logger for what the factory makes; it is never nil.
func (b *Build) Logger() *slog.Logger {
	return b.creation.logger.With(slog.String("section", b.node.Name))
}

// OnClose has f called when the pipeline is closed, or when loading it fails later on: the last registered first.
func (b *Build) OnClose(f func() error) { b.onClose("what its factory has opened", f) }

func (b *Build) onClose(what string, f func() error) {
	b.creation.closers = append(b.creation.closers, closer{b.node.Name, what, f})
}

// Storage opens the database of a URI. Everything that is loaded with the same registry and names the same database shares
// it. It is closed with the pipeline; the factory must not close it.
func (b *Build) Storage(uri string) (*storage.DB, error) {
	db, err := b.registry.opener.Open(b.creation.ctx, uri)
	if err != nil {
		return nil, err
	}
	b.onClose("the database "+redact.Text(uri), db.Close)
	return db, nil
}

// Recover has a database take part in the recovery after a crash, until the pipeline is closed: as a Participant, a Decider or both, as
// package transaction/recovery calls them. It is for what the factory has opened itself; with what [Build.Storage] opens it is so anyway.
func (b *Build) Recover(database any) {
	remove := b.registry.opener.Recovery().Add(database)
	b.OnClose(func() error {
		remove()
		return nil
	})
}

// ReadFile reads a file that a setting names, such as one with a secret, by the ReadFile of [Options]. So whoever watches what a
// pipeline was made of, as serve --reload does, knows of it.
func (b *Build) ReadFile(name string) ([]byte, error) { return b.creation.resolver.readFile(name) }

// Keep keeps a value for the next load of the same section by a registry that is renewed from this one, and returns what was
// kept by the last load that succeeded, nil if none did: so a factory knows what a reload changes.
func (b *Build) Keep(value any) (former any) {
	key := b.node.Source.File + "\n" + b.node.Name
	if b.creation.kept == nil {
		b.creation.kept = map[string]any{}
	}
	b.creation.kept[key] = value
	return b.registry.kept.get(key)
}

// Share has the factories of the same load know of a value, and returns those of the same type that were shared before: so two
// that can't stand beside each other notice.
func (b *Build) Share(value any) (others []any) {
	typ := reflect.TypeOf(value)
	if b.creation.shared == nil {
		b.creation.shared = map[reflect.Type][]any{}
	}
	others = b.creation.shared[typ]
	b.creation.shared[typ] = append(slices.Clip(others), value)
	return others
}

// Warn tells whoever starts the program that something about a key works, but hardly as meant. The message says what, and
// what to write instead. It is logged once at the start, with file, line, section and key; the key may be "".
func (b *Build) Warn(key, message string) {
	b.creation.resolver.warn(b.node.settingOf(key), message)
}

// App makes the app that a name stands for: a section, or a reference such as "egg:Dist#name". The name is looked up, and
// the global conf handed on, as PasteDeploy's loader does it for composites. Faults come with their own positions: return
// the error as it is, joined with those of the other children.
func (b *Build) App(name string) (http.Handler, error) {
	made, err := b.child(typeApp, name)
	if err != nil {
		return nil, err
	}
	return made.(http.Handler), nil //nolint:errcheck // create has seen to it
}

// Filter makes the filter that a name stands for, as App does.
func (b *Build) Filter(name string) (func(http.Handler) http.Handler, error) {
	made, err := b.child(typeFilter, name)
	if err != nil {
		return nil, err
	}
	return made.(func(http.Handler) http.Handler), nil //nolint:errcheck // create has seen to it
}

func (b *Build) child(typ *objectType, name string) (any, error) {
	r := b.creation.resolver
	r.faults = nil
	at := b.node.referenceTo(name)
	node := b.node.loader.context(r, typ, &name, b.node.GlobalConf, at)
	if node != nil {
		b.node.children = append(b.node.children, Child{b.node.childKey(name, at), node})
	}
	made, faults := b.creation.all(r.finish(node))
	return made, sorted(faults)
}

// referenceTo finds the setting of a composite that says the name.
func (n *Node) referenceTo(name string) reference {
	at := reference{up: n.trail}
	for _, key := range n.LocalConf.keys {
		if s := n.LocalConf.settings[key]; s.Value == name {
			at.setting = s
			return at
		}
	}
	for _, key := range n.LocalConf.keys {
		s := n.LocalConf.settings[key]
		if slices.Contains(fields(s.Value), name) {
			at.setting, at.word = s, name
			return at
		}
	}
	p := n.Source
	at.setting = &Setting{File: p.File, Line: p.Line, Section: p.Section}
	return at
}

var errNothing = errors.New("its factory returned nothing")
