package pipeline

import (
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// Describe returns the factory of a kind that is registered under a name or an alias.
func (r *Registry) Describe(kind tree.Kind, name string) (tree.FactoryInfo, bool) {
	key, err := tree.FactoryKey(name)
	if err != nil {
		return tree.FactoryInfo{}, false
	}
	f, ok := r.factories[kind][key]
	if !ok {
		return tree.FactoryInfo{}, false
	}
	return r.describe(f), true
}

// DescribeAll returns all factories, sorted by kind and name. Aliases are listed with the factory
// that they name.
func (r *Registry) DescribeAll() []tree.FactoryInfo {
	var all []tree.FactoryInfo
	for _, kind := range []tree.Kind{
		tree.KindApp, tree.KindComposite, tree.KindFilter, tree.KindServer,
	} {
		var names []string
		for _, f := range r.factories[kind] {
			if f.of == nil {
				names = append(names, f.name)
			}
		}
		for _, name := range slices.Sorted(slices.Values(names)) {
			if info, ok := r.Describe(kind, name); ok {
				all = append(all, info)
			}
		}
	}
	return all
}

func (r *Registry) describe(f *factory) tree.FactoryInfo {
	info := tree.FactoryInfo{Kind: f.kind, Name: f.name, Others: f.schema.rest != nil}
	isOurs := func(f *factory) bool { return strings.HasPrefix(f.name, "egg:pasteline#") }
	var usual *factory
	for _, other := range r.factories[f.kind] {
		if other.origin() != f.origin() {
			continue
		}
		if other.of != nil {
			info.Aliases = append(info.Aliases, other.name)
		} else {
			info.Name = other.name
		}
		if usual == nil || isOurs(usual) && !isOurs(other) ||
			isOurs(usual) == isOurs(other) && other.order < usual.order {
			usual = other
		}
	}
	slices.Sort(info.Aliases)
	info.Usual = usual.name
	info.Settings = f.schema.describe()
	return info
}

func (s *schema) describe() []tree.SettingInfo {
	var settings []tree.SettingInfo
	for _, field := range s.fields {
		name, _ := field.typeName() // newSchema refuses types without a name
		settings = append(settings, tree.SettingInfo{
			Key: field.key, Type: name, Default: field.def, HasDefault: field.hasDefault,
			Required: field.required, Secret: field.secret, OneOf: field.oneOf,
			Min: field.min, Max: field.max, Help: field.help,
		})
	}
	return settings
}
