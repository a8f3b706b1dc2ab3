package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ReadSection decodes any section of a file, such as [logging], into a struct of settings with the tags of [App]. The URI is
// as for Load, of which the name does not matter. Values are interpolated; keys of [DEFAULT] are for interpolation only. A
// section that is not there, or a URI of no file, gives the defaults.
//
// The error is of type [Errors]. It panics if S is no struct of settings.
func ReadSection[S any](uri, section string, opts Options) (S, error) {
	var settings S
	schema, err := newSchema(reflect.TypeFor[S]())
	if err != nil {
		panic(fmt.Sprintf("pipeline: %v", err))
	}
	v, err := readSection(uri, section, schema, opts)
	if err != nil {
		return settings, err
	}
	return v.Interface().(S), nil //nolint:errcheck // decoded by S's own schema
}

func readSection(uri, section string, schema *schema, opts Options) (reflect.Value, error) {
	r := newResolver(opts)
	conf, heading := newConf(), Position{Section: section}
	if l, ok := r.open(uri, opts); ok {
		heading = Position{File: l.file.name, Line: l.file.heads[section], Section: section}
		for _, key := range l.file.keys(section) {
			if s := l.get(r, section, key); s != nil {
				conf.set(s)
			}
		}
	}
	v, faults := schema.decode(conf)
	node := &Node{LocalConf: conf, Source: heading, factory: &factory{schema: schema}}
	r.learn(node)
	return v, r.conceal(sorted(slices.Concat(r.faults, node.locate(faults))))
}

// open returns the loader of the file that a URI names, false when it names none, or after a fault.
func (r *resolver) open(uri string, opts Options) (*configLoader, bool) {
	uri, relativeTo := fromPath(uri, opts.RelativeTo)
	uri, _, _ = strings.Cut(uri, "#")
	scheme, path := cutScheme(uri)
	if scheme != "config" {
		return nil, false
	}
	l, ok := r.openConfig(path, relativeTo, opts.global(), reference{}).(*configLoader)
	return l, ok
}
