package pipeline

import (
	"fmt"
	"reflect"
	"slices"
)

// A FactoryInfo describes the factory that is registered under a name.
type FactoryInfo struct {
	Kind     Kind
	Name     string   // as it was registered
	Aliases  []string // sorted
	Settings []SettingInfo
	Others   bool // whether settings of any other name are accepted too
}

// A SettingInfo describes a setting of a factory, as the tags of its struct declare it.
type SettingInfo struct {
	Key        string
	Type       string // such as "a whole number"; "" if only Help describes it
	Default    string
	HasDefault bool
	Required   bool
	Secret     bool
	OneOf      []string
	Min, Max   string
	Help       string
}

// Describe returns the factory of a kind that is registered under a name or an alias.
func (r *Registry) Describe(kind Kind, name string) (FactoryInfo, bool) {
	key, err := registeredName(name)
	if err != nil {
		return FactoryInfo{}, false
	}
	f, ok := r.factories[kind][key]
	if !ok {
		return FactoryInfo{}, false
	}
	return r.describe(f), true
}

// DescribeAll returns all factories, sorted by kind and name. Aliases are listed with the factory
// that they name.
func (r *Registry) DescribeAll() []FactoryInfo {
	var all []FactoryInfo
	for _, kind := range []Kind{KindApp, KindComposite, KindFilter, KindServer} {
		for _, name := range r.names(kind) {
			if info, ok := r.Describe(kind, name); ok {
				all = append(all, info)
			}
		}
	}
	return all
}

func (r *Registry) describe(f *factory) FactoryInfo {
	info := FactoryInfo{Kind: f.kind, Name: f.name, Others: f.schema.rest != nil}
	for _, other := range r.factories[f.kind] {
		if other.origin() != f.origin() {
			continue
		}
		if other.of != nil {
			info.Aliases = append(info.Aliases, other.name)
		} else {
			info.Name = other.name
		}
	}
	slices.Sort(info.Aliases)
	info.Settings = f.schema.describe()
	return info
}

// DescribeSettings returns the settings of a struct, such as one for [ReadSection]. It panics if S
// is not a struct of settings.
func DescribeSettings[S any]() []SettingInfo {
	schema, err := newSchema(reflect.TypeFor[S]())
	if err != nil {
		panic(fmt.Sprintf("pipeline: %v", err))
	}
	return schema.describe()
}

func (s *schema) describe() []SettingInfo {
	var settings []SettingInfo
	for _, field := range s.fields {
		name, _ := field.typeName() // newSchema refuses types without a name
		settings = append(settings, SettingInfo{
			Key: field.key, Type: name, Default: field.def, HasDefault: field.hasDefault,
			Required: field.required, Secret: field.secret, OneOf: field.oneOf,
			Min: field.min, Max: field.max, Help: field.help,
		})
	}
	return settings
}
