package tree

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// A Factory is a reference to a factory, as written in a file.
type Factory struct {
	Dist       string // of egg:Dist#EntryPoint
	EntryPoint string // "main" if the file names none
	Object     string // module:function, of call: and paste.app_factory
}

// String formats the reference as in a "use" setting: "egg:Dist#name" or "call:module:function".
// The factory is registered under this name.
func (f Factory) String() string {
	switch {
	case f.Dist != "":
		return "egg:" + f.Dist + "#" + f.EntryPoint
	case f.Object != "":
		return "call:" + f.Object
	}
	return ""
}

var (
	distPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	// objectPattern matches the value of an entry point, as the packaging standards of Python
	// define it: module, attribute, extras.
	objectPattern = regexp.MustCompile(strings.NewReplacer("SPACE", `[\s\v\x1c-\x1f\x{85}\pZ]`,
		"WORD", `[\pL\pN_.]`).
		Replace(`^(WORD+)SPACE*(?::SPACE*(WORD+)SPACE*)?(\[.*\]SPACE*)?$`))
	separators = regexp.MustCompile(`[-_.]+`)
)

func eggReference(dist, entryPoint string) (Factory, error) {
	if !distPattern.MatchString(dist) {
		if strings.ContainsAny(dist, "\n") {
			return Factory{}, errors.New("the name of a distribution can't go on in the next " +
				"line; is that line indented by mistake?")
		}
		return Factory{}, fmt.Errorf("%q is no name of a distribution; want egg:Dist#name", dist)
	}
	if entryPoint == "" || pystr.Strip(entryPoint) != entryPoint {
		return Factory{}, fmt.Errorf("%q is no name of an entry point; want egg:Dist#name",
			entryPoint)
	}
	return Factory{Dist: dist, EntryPoint: entryPoint}, nil
}

// callReference parses the part of a reference after "call:".
func callReference(spec string) (Factory, error) {
	module, function, ok := strings.Cut(spec, ":")
	switch {
	case !ok || strings.Contains(function, ":"):
		return Factory{}, errors.New("want call:module:function")
	case module == "" || strings.ContainsFunc(spec, pystr.IsSpace):
		return Factory{}, errors.New("want call:module:function, without spaces")
	case strings.Contains(function, "."):
		return Factory{}, errors.New("want call:module:function, with no dot in the function; " +
			"paste.app_factory = module:object.method takes one")
	}
	return Factory{Object: strings.TrimSuffix(spec, ":")}, nil
}

// objectReference parses the value of paste.app_factory and similar settings.
func objectReference(value string) (Factory, error) {
	m := objectPattern.FindStringSubmatch(value)
	if m == nil {
		return Factory{}, errors.New("want module:function")
	}
	object := m[1]
	if m[2] != "" {
		object += ":" + m[2]
	}
	return Factory{Object: object}, nil
}

// FactoryKey converts the name of a factory, "egg:Dist#name", "call:module:function" or
// "module:function", to the normal form of [Factory.Key].
func FactoryKey(name string) (string, error) {
	if spec, ok := strings.CutPrefix(name, "egg:"); ok {
		dist, entryPoint, named := strings.Cut(spec, "#")
		if !named {
			entryPoint = "main"
		}
		f, err := eggReference(dist, entryPoint)
		return f.Key(), err
	}
	f, err := objectReference(strings.TrimPrefix(name, "call:"))
	if err == nil && !strings.Contains(f.Object, ":") {
		err = errors.New("no function")
	}
	if err != nil {
		return "", fmt.Errorf("%q: want egg:Dist#name, call:module:function or module:function",
			name)
	}
	return f.Key(), nil
}

// Key returns the normal form in which references are compared. Distribution names are compared as
// in Python: case, and the separators - _ . between words, make no difference.
func (f Factory) Key() string {
	if f.Dist != "" {
		f.Dist = strings.ToLower(separators.ReplaceAllString(f.Dist, "-"))
	}
	return f.String()
}
