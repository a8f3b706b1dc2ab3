package pipeline

import (
	"fmt"
	"reflect"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// ReadSection decodes any section of a file, such as [logging], into a struct of settings with the
// tags of [App]. The URI is as for Load; a name in it is ignored. Values are interpolated; keys of
// [DEFAULT] only serve interpolation. The result has the defaults if the section does not exist, or
// the URI names no file.
//
// The error is of type [tree.Errors]. ReadSection panics if S is not a struct of settings.
func ReadSection[S any](uri, section string, opts Options) (S, error) {
	schema := schemaOf[S]()
	t, unread := tree.ReadSection(uri, section, tree.FactoryInfo{Settings: schema.describe()},
		opts.Tree())
	v, err := schema.decode(t.Root.LocalConf)
	if err != nil {
		err = t.Root.Locate(err)
	}
	if err := t.ConcealErrors(tree.JoinErrors(unread, err)); err != nil {
		var zero S
		return zero, err
	}
	settings, _ := reflect.TypeAssert[S](v) // decoded by the schema of S
	return settings, nil
}

// SettingsOf returns a description of the settings that S declares, for help texts. It panics if S
// is not a struct of settings.
func SettingsOf[S any]() []tree.SettingInfo { return schemaOf[S]().describe() }

func schemaOf[S any]() *schema {
	schema, err := knownSchema(reflect.TypeFor[S]())
	if err != nil {
		panic(fmt.Sprintf("pipeline: %v", err))
	}
	return schema
}
