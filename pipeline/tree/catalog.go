package tree

import (
	"slices"
)

// A Catalog knows the factories that names stand for. A *pipeline.Registry is one.
type Catalog interface {
	// Describe returns the factory of a kind that is registered under a name or an alias.
	Describe(kind Kind, name string) (FactoryInfo, bool)
	// DescribeAll returns all factories, sorted by kind and name.
	DescribeAll() []FactoryInfo
	// Elsewhere returns the hint for a name that files of other programs use and that has no
	// factory, or "".
	Elsewhere(kind Kind, f Factory) string
}

// A FactoryInfo describes the factory that is registered under a name.
type FactoryInfo struct {
	Kind     Kind
	Name     string   // as it was registered
	Usual    string   // the name or alias that files of other programs use, or else Name
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

// setting returns the description of a key, or nil. f may be nil.
func (f *FactoryInfo) setting(key string) *SettingInfo {
	if f == nil {
		return nil
	}
	i := slices.IndexFunc(f.Settings, func(s SettingInfo) bool { return s.Key == key })
	if i < 0 {
		return nil
	}
	return &f.Settings[i]
}

// A names finds factories in a catalog, which may be nil.
type names struct{ catalog Catalog }

// find returns the factory that a reference stands for, or nil.
func (n names) find(kind Kind, f Factory) *FactoryInfo {
	if n.catalog == nil {
		return nil
	}
	info, ok := n.catalog.Describe(kind, f.String())
	if !ok {
		return nil
	}
	return &info
}

// elsewhere is that of the catalog.
func (n names) elsewhere(kind Kind, f Factory) string {
	if n.catalog == nil {
		return ""
	}
	return n.catalog.Elsewhere(kind, f)
}

// of returns the factories of a kind.
func (n names) of(kind Kind) []FactoryInfo {
	if n.catalog == nil {
		return nil
	}
	return slices.DeleteFunc(n.catalog.DescribeAll(),
		func(f FactoryInfo) bool { return f.Kind != kind })
}

// usual returns one name for each factory of a kind, as existing files of other programs write it.
func (n names) usual(kind Kind) []string {
	var all []string
	for _, f := range n.of(kind) {
		all = append(all, f.Usual)
	}
	return all
}

// spellings returns the names of the factories of a kind, with aliases.
func (n names) spellings(kind Kind) []string {
	var all []string
	for _, f := range n.of(kind) {
		all = append(append(all, f.Name), f.Aliases...)
	}
	return all
}
