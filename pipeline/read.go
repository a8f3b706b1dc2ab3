package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ReadSection decodes any section of a file, such as [logging], into a struct of settings with the
// tags of [App]. The URI is as for Load; a name in it is ignored. Values are interpolated; keys of
// [DEFAULT] only serve interpolation. The result has the defaults if the section does not exist, or
// the URI names no file.
//
// The error is of type [Errors]. ReadSection panics if S is not a struct of settings.
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

// open returns the loader of the file that a URI names, or false if it names none, or after
// recording an error.
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
