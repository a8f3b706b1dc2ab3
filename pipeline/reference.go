package pipeline

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Factory is a reference to a factory, as a file has it.
type Factory struct {
	Dist       string // of egg:Dist#EntryPoint
	EntryPoint string // "main" when the file names none
	Object     string // module:function, of call: and of an explicit paste.app_factory
}

// String returns the reference in the form of a use: "egg:Dist#name" or "call:module:function". It is the name that a
// factory is registered under.
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
	// The value of an entry point, as the packaging standards of Python have it: module, attribute, extras.
	objectPattern = regexp.MustCompile(strings.NewReplacer("SPACE", `[\s\v\x1c-\x1f\x{85}\pZ]`, "WORD", `[\pL\pN_.]`).
			Replace(`^(WORD+)SPACE*(?::SPACE*(WORD+)SPACE*)?(\[.*\]SPACE*)?$`))
	separators = regexp.MustCompile(`[-_.]+`)
)

func eggReference(dist, entryPoint string) (Factory, error) {
	if !distPattern.MatchString(dist) {
		if strings.ContainsAny(dist, "\n") {
			return Factory{}, errors.New("the name of a distribution can't go on in the next line; is that line indented by mistake?")
		}
		return Factory{}, fmt.Errorf("%q is no name of a distribution; want egg:Dist#name", dist)
	}
	if entryPoint == "" || strip(entryPoint) != entryPoint {
		return Factory{}, fmt.Errorf("%q is no name of an entry point; want egg:Dist#name", entryPoint)
	}
	return Factory{Dist: dist, EntryPoint: entryPoint}, nil
}

// callReference reads what follows "call:".
func callReference(spec string) (Factory, error) {
	module, function, ok := strings.Cut(spec, ":")
	switch {
	case !ok || strings.Contains(function, ":"):
		return Factory{}, errors.New("want call:module:function")
	case module == "" || strings.ContainsFunc(spec, isSpace):
		return Factory{}, errors.New("want call:module:function, without spaces")
	case strings.Contains(function, "."):
		return Factory{}, errors.New("want call:module:function, with no dot in the function; paste.app_factory = module:object.method takes one")
	}
	return Factory{Object: strings.TrimSuffix(spec, ":")}, nil
}

// objectReference reads the value of a paste.app_factory and its like.
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

// registeredName brings the name that a factory is registered under into its one form. The names of distributions are
// compared as Python does: case, and which of - _ . separates the words, make no difference.
func registeredName(name string) (string, error) {
	if spec, ok := strings.CutPrefix(name, "egg:"); ok {
		dist, entryPoint, named := strings.Cut(spec, "#")
		if !named {
			entryPoint = "main"
		}
		f, err := eggReference(dist, entryPoint)
		return f.key(), err
	}
	f, err := objectReference(strings.TrimPrefix(name, "call:"))
	if err == nil && !strings.Contains(f.Object, ":") {
		err = errors.New("no function")
	}
	if err != nil {
		return "", fmt.Errorf("%q: want egg:Dist#name, call:module:function or module:function", name)
	}
	return f.key(), nil
}

// key is the form in which references are compared.
func (f Factory) key() string {
	if f.Dist != "" {
		f.Dist = strings.ToLower(separators.ReplaceAllString(f.Dist, "-"))
	}
	return f.String()
}
