package logging

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A source is the .ini file with the logging sections. It is read once, so that all sections are of
// the same version.
type source struct {
	config string
	opts   pipeline.Options
	path   string
	text   []byte
	file   *tree.File // nil without a file, or with a faulty one
}

func newSource(config string, o Options) *source {
	s := &source{config: config}
	s.opts = pipeline.Options{Global: o.Global, Set: o.Set, RelativeTo: ".", ReadFile: s.read}
	return s
}

func (s *source) read(path string) ([]byte, error) {
	if s.path == path {
		return s.text, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s.path, s.text = path, text
	s.file, _ = tree.Parse(path, text) // ReadSection reports its errors
	return text, nil
}

// here returns the folder of the file.
func (s *source) here() (string, error) {
	path, err := filepath.Abs(s.path)
	return filepath.Dir(path), err
}

func (s *source) has(section string) bool { return slices.Contains(s.file.Sections(), section) }

// section returns all settings of a section with their positions, interpolated. The error joins
// those that can't be interpolated.
func (s *source) section(name string) ([]tree.Setting, error) {
	all, err := pipeline.ReadSection[struct {
		Settings []tree.Setting `ini:"*"`
	}](s.config, name, s.opts)
	return all.Settings, err
}

// sections returns the names that can be the attribute section of a line: the sections, except
// those about logging, and the parts of pipelines without a section.
func (s *source) sections() []string {
	var names []string
	for _, name := range s.file.Sections() {
		if isAboutLogging(name) {
			continue
		}
		names = append(names, name)
		for _, setting := range s.file.Settings(name) {
			if setting.Key == "use" {
				continue
			}
			for word := range strings.FieldsSeq(setting.Value) {
				if strings.HasPrefix(word, "egg:") && !slices.Contains(names, word) {
					names = append(names, word)
				}
			}
		}
	}
	return names
}

func isAboutLogging(section string) bool {
	if slices.Contains([]string{"logging", "loggers", "handlers", "formatters"}, section) {
		return true
	}
	prefix, _, ok := strings.Cut(section, "_")
	return ok && slices.Contains([]string{"logger", "handler", "formatter"}, prefix)
}

// includes reports whether the file has parts in other files, whose sections are not known.
func (s *source) includes() bool {
	return slices.ContainsFunc(append(s.file.Sections(), "DEFAULT"), func(section string) bool {
		return slices.ContainsFunc(s.file.Settings(section), func(setting tree.Setting) bool {
			return strings.Contains(strings.ToLower(setting.Value), "config:")
		})
	})
}

// origin returns the distribution or module of a section's factory, or "" if the section does not
// name it directly.
func (s *source) origin(section string) string {
	if strings.HasPrefix(section, "egg:") {
		return originOf(section)
	}
	for _, setting := range s.file.Settings(section) {
		if setting.Key == "use" {
			return originOf(setting.Value)
		}
		if strings.HasPrefix(setting.Key, "paste.") {
			return originOf("call:" + setting.Value)
		}
	}
	return ""
}

// originOf returns the distribution or module of a reference: repoze.retry for
// "egg:repoze.retry#retry".
func originOf(reference string) string {
	scheme, rest, _ := strings.Cut(reference, ":")
	switch scheme {
	case "egg":
		dist, _, _ := strings.Cut(rest, "#")
		return strings.ReplaceAll(dist, "-", "_") // the name of the module
	case "call":
		module, _, _ := strings.Cut(rest, ":")
		return module
	}
	return ""
}

// bareName returns a section's name without its prefix, as pipelines write it; for "egg:Dist#name"
// it is name.
func bareName(section string) string {
	prefix, rest, ok := strings.Cut(section, ":")
	if !ok {
		return section
	}
	rest = strings.TrimSpace(rest)
	if prefix == "egg" {
		dist, name, _ := strings.Cut(rest, "#")
		if name == "" || name == "main" {
			return dist
		}
		return name
	}
	return rest
}

func fault(s *tree.Setting, err error, hint string) *pipeline.Error {
	return &pipeline.Error{
		File: s.File, Line: s.Line, Section: s.Section, Key: s.Written,
		Value: s.Value, Err: err, Hint: hint,
	}
}

// withoutValue returns an error without the value: an unknown key may hold a secret.
func withoutValue(s *tree.Setting, err error, hint string) *pipeline.Error {
	f := fault(s, err, hint)
	f.Value = ""
	return f
}
