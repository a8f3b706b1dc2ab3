package tree

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/ini.v1"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// logSections are the names of the logging sections, those of Python's logging.config included. A
// name that ends with an underscore is a prefix.
var logSections = []string{
	"logging", "loggers", "handlers", "formatters", "logger_", "handler_",
	"formatter_",
}

// warnOdd warns about a section that nothing reads and whose name is similar to a known one, and
// about values that seem to contain a comment.
func (r *resolver) warnOdd(file *File, section string) {
	if meant, ok := almostKnown(section); ok && !slices.Contains(file.order, meant) {
		w := Warning{
			File: file.name, Line: file.heads[section], Section: section,
			Message: fmt.Sprintf("nothing reads a section of that name; did you mean [%s]?", meant),
		}
		r.warned[w] = true
		r.warnings = append(r.warnings, w)
	}
	prefix, _, _ := strings.Cut(section, ":")
	if section != ini.DefaultSection && !isOfPipelines(prefix) && !isOfLogging(section) {
		return // a section of another program, with other rules
	}
	if strings.HasPrefix(section, "formatter") {
		return // a log format may contain these characters
	}
	for _, key := range file.keys(section) {
		s := file.setting(section, key)
		if s.assigned {
			continue
		}
		for i, line := range strings.Split(s.Raw, "\n") {
			mark := commentPattern.FindStringSubmatch(line)
			if mark == nil {
				continue
			}
			if i < len(s.lines) {
				s.Line = s.lines[i]
			}
			r.warn(s, fmt.Sprintf("the %s and all behind it belong to the value: a comment has a "+
				"line of its own", cmp.Or(mark[1], mark[2])))
			break
		}
	}
}

// commentPattern matches a probable comment after a value, or in place of one: a mark with white
// space around it, or after a value of one word.
var commentPattern = regexp.MustCompile(`(?:^|\s)([#;])(?:\s|$)|^\S+\s+([#;])`)

func isOfPipelines(prefix string) bool {
	return slices.ContainsFunc([]*objectType{typeApp, typeFilter, typeServer},
		func(t *objectType) bool { return t.takes(prefix) })
}

func isOfLogging(section string) bool {
	return slices.ContainsFunc(logSections, func(known string) bool {
		return section == known || strings.HasSuffix(known, "_") &&
			strings.HasPrefix(section, known)
	})
}

// almostKnown returns the name of the section that was probably meant by an unknown one.
func almostKnown(section string) (string, bool) {
	prefix, name, named := strings.Cut(section, ":")
	if isOfPipelines(prefix) || isOfLogging(section) || section == ini.DefaultSection {
		return "", false
	}
	var known []string
	if named {
		for _, t := range []*objectType{typeApp, typeFilter, typeServer} {
			known = append(known, slices.Concat(t.prefixes...)...)
		}
	} else {
		known = append(slices.Clone(logSections[:4]), ini.DefaultSection)
		if before, after, ok := strings.Cut(section, "_"); ok {
			prefix, name, known = before+"_", after, logSections[4:]
		}
	}
	for _, meant := range known {
		if suggest.IsSlip(strings.ToLower(pystr.Strip(prefix)), strings.ToLower(meant)) {
			switch {
			case named:
				meant += ":" + name
			case strings.HasSuffix(meant, "_"):
				meant += name
			}
			return meant, true
		}
	}
	return "", false
}

// Use records that a factory has read a setting of the global conf.
func (t *Tree) Use(name string) { t.resolver.used[name] = true }

// mentions reports whether a file has a setting of that name or refers to one.
func (f *File) mentions(name string) bool {
	if f == nil {
		return false
	}
	return slices.ContainsFunc(append([]string{ini.DefaultSection}, f.order...),
		func(section string) bool {
			return slices.ContainsFunc(f.keys(section), func(key string) bool {
				s := f.setting(section, key)
				return key == name || strings.Contains(s.Raw, "%("+name+")s") ||
					strings.HasPrefix(key, "get ") && s.Value == name
			})
		})
}

// Uses reports whether a setting given from outside has any effect: a file that was read has a
// setting of that name or refers to it, or a factory has read it.
func (t *Tree) Uses(name string) bool {
	if t.resolver.used[name] {
		return true
	}
	for _, file := range t.resolver.files {
		if file.mentions(name) {
			return true
		}
	}
	return false
}

// Similar returns the name that was probably meant by an unused setting given from outside: a key
// of [DEFAULT], or a name that a value refers to.
func (t *Tree) Similar(name string) (similar string, ok bool) {
	return suggest.Nearest(name, t.resolver.references())
}

var referencePattern = regexp.MustCompile(`%\(([^)]+)\)s`)

// references returns the keys of [DEFAULT] and the names that values refer to, in all files.
func (r *resolver) references() []string {
	var names []string
	for _, file := range r.files {
		if file == nil {
			continue
		}
		names = append(names, file.keys(ini.DefaultSection)...)
		for _, section := range append([]string{ini.DefaultSection}, file.order...) {
			for _, key := range file.keys(section) {
				for _, m := range referencePattern.FindAllStringSubmatch(file.setting(section,
					key).Raw, -1) {
					names = append(names, m[1])
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
