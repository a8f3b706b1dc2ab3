package tree

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// find returns the section that a name stands for, or false after recording an error.
func (l *configLoader) find(r *resolver, typ *objectType, name *string,
	at reference,
) (string, bool) {
	var possible []string
	for _, group := range typ.prefixes {
		for _, prefix := range group {
			if found := l.sections(prefix, name); len(found) > 0 {
				possible = append(possible, found...)
				break
			}
		}
	}
	switch len(possible) {
	case 0:
		wanted := "main"
		if name != nil {
			wanted = *name
		}
		r.fail(at.newError(l.file.name, l.missing(typ, wanted, at), l.suggest(r, typ, wanted, at)))
		return "", false
	case 1:
		return possible[0], true
	}
	places := make([]string, len(possible))
	for i, section := range possible {
		places[i] = fmt.Sprintf("[%s] (line %d)", oneLine(section), l.file.heads[section])
	}
	e := at.newError(l.file.name, fmt.Errorf("%s all have that name",
		strings.Join(places, " and ")), "rename all but one")
	if len(possible) == 2 {
		e.Err = fmt.Errorf("%s both have that name", strings.Join(places, " and "))
	}
	if at.setting == nil {
		e.Line, e.Section = l.file.heads[possible[1]], possible[1]
	}
	r.fail(e)
	return "", false
}

// sections returns the sections with a prefix and a name. A nil name matches the prefix alone, and
// the name "main".
func (l *configLoader) sections(prefix string, name *string) []string {
	var found []string
	wanted := "main"
	if name != nil {
		wanted = *name
	} else if slices.Contains(l.file.order, prefix) {
		found = append(found, prefix)
	}
	for _, section := range l.file.order {
		if rest, ok := strings.CutPrefix(section, prefix+":"); ok && pystr.Strip(rest) == wanted {
			found = append(found, section)
		}
	}
	return found
}

// isFrom reports whether a name is written in another file than the loader's, and looked up in the
// loader's: the case of a composite that the loader's file uses from another.
func (at reference) isFrom(l *configLoader) bool {
	s := at.setting
	return s != nil && s.File != "" && s.File != l.file.name &&
		!isAbsolute(cmp.Or(at.word, s.Value))
}

// missing returns the error that there is no section of a name. If the name is written in another
// file, the error says in which file it is looked up.
func (l *configLoader) missing(typ *objectType, wanted string, at reference) error {
	if at.isFrom(l) {
		return fmt.Errorf("no %s %q in %s: that uses this section, and so is where its names are "+
			"looked up", typ.kind, wanted, l.file.name)
	}
	return fmt.Errorf("no %s %q", typ.kind, wanted)
}

// suggest returns the hint for a name that can't be found: the same name under another prefix, a
// similar name, or all names.
func (l *configLoader) suggest(r *resolver, typ *objectType, wanted string, at reference) string {
	if reference := withScheme(r.names, typ, wanted); reference != "" && at.setting != nil {
		return fmt.Sprintf("did you mean %q?", reference)
	}
	if reference := l.elsewhere(r, typ, wanted, at); reference != "" {
		return "write " + reference
	}
	var names []string
	namesake := ""
	places := map[string]string{}
	for _, section := range l.file.order {
		prefix, name, _ := strings.Cut(section, ":")
		name = pystr.Strip(name)
		place := position(l.file.name, l.file.heads[section])
		if meant, ok := typ.misspelled(prefix); ok && name == wanted {
			return fmt.Sprintf("[%s] (%s): did you mean [%s:%s]?", oneLine(section), place, meant,
				oneLine(name))
		}
		if !typ.takes(prefix) {
			// a file has a main of several kinds
			if name == wanted && name != "main" && name != "" {
				namesake = fmt.Sprintf("[%s] (%s) is no %s", oneLine(section), place, typ.kind)
				if rule := at.order(typ.kind); rule != "" {
					namesake += "; " + rule
				}
			}
			continue
		}
		if section == prefix && wanted == "main" {
			return fmt.Sprintf("write [%s:main] in place of [%s] (%s), which has no name", prefix,
				section, place)
		}
		if name == "" {
			name = "[" + section + "]"
		}
		names = append(names, name)
		places[name] = place
	}
	if namesake != "" {
		return namesake
	}
	if near, ok := suggest.Nearest(wanted, names); ok {
		return fmt.Sprintf("did you mean %q (%s)?", near, places[near])
	}
	switch {
	case len(names) == 0 && typ == typeServer:
		return l.withoutServer(oneLine(wanted))
	case len(names) == 0:
		return fmt.Sprintf("write a section [%s:%s]", typ.prefixes[0][0], oneLine(wanted))
	}
	for i := range names {
		names[i] = oneLine(names[i])
	}
	if at.setting == nil && typ == typeApp {
		return suggest.Have(names) + fmt.Sprintf(" (%s#NAME is one of them)", l.file.name)
	}
	return suggest.Have(names)
}

// elsewhere returns a reference to the section of that name in the file where the name is written:
// "" if that file has none, or is the file where the name was looked up.
func (l *configLoader) elsewhere(r *resolver, typ *objectType, wanted string, at reference) string {
	if !at.isFrom(l) {
		return ""
	}
	for _, file := range r.files {
		if file == nil || file.name != at.setting.File {
			continue
		}
		there := &configLoader{file: file}
		for _, prefix := range slices.Concat(typ.prefixes...) {
			if len(there.sections(prefix, &wanted)) == 0 {
				continue
			}
			path, err := filepath.Rel(filepath.Dir(l.file.name), file.name)
			if err != nil {
				path = file.name
			}
			return fmt.Sprintf("config:%s#%s", filepath.ToSlash(path), oneLine(wanted))
		}
	}
	return ""
}

// withoutServer returns the hint for a file that has no server section. Files of OpenStack have
// only apps and filters.
func (l *configLoader) withoutServer(name string) string {
	section := fmt.Sprintf("[server:%s] with use = egg:Paste#http", name)
	switch {
	case slices.Contains(l.file.order, "uwsgi"):
		return fmt.Sprintf("it was for uWSGI, whose [uwsgi] says nothing here: write a section %s "+
			"and its port", section)
	case !l.has(typeApp, "main") && (l.has(typeApp, "") || l.has(typeFilter, "")):
		return fmt.Sprintf("the file has apps and filters alone, as those of OpenStack, whose "+
			"programs bring the server:"+
			" write a section %s, here or in a file that uses this one", section)
	}
	return "write a section " + section
}

// has reports whether the file has a section of a type and a name; "" matches any name.
func (l *configLoader) has(typ *objectType, name string) bool {
	return slices.ContainsFunc(l.file.order, func(section string) bool {
		prefix, rest, _ := strings.Cut(section, ":")
		return typ.takes(prefix) && (name == "" || pystr.Strip(rest) == name)
	})
}

// withScheme returns the reference that was probably meant by a name without a scheme, or "" if it
// looks like the name of a section.
func withScheme(known names, typ *objectType, name string) string {
	file, _, _ := strings.Cut(name, "#")
	if strings.HasSuffix(file, ".ini") {
		return "config:" + name
	}
	if dist, entryPoint, ok := strings.Cut(name, "#"); ok {
		if _, err := eggReference(dist, entryPoint); err == nil {
			return "egg:" + name
		}
		return ""
	}
	if _, err := callReference(name); err == nil {
		return "call:" + name
	}
	ref, err := eggReference(name, "main")
	if err != nil {
		return ""
	}
	for _, kind := range typ.kinds() {
		if known.find(kind, ref) != nil || known.elsewhere(kind, ref) != "" {
			return "egg:" + name
		}
	}
	return ""
}

// kinds returns the kinds of factories that fit the type.
func (t *objectType) kinds() []Kind {
	if t == typeApp {
		return []Kind{KindApp, KindComposite}
	}
	return []Kind{t.kind}
}

// misspelled returns the known prefix that was probably meant by an unknown one.
func (t *objectType) misspelled(prefix string) (string, bool) {
	for _, known := range []*objectType{typeApp, typeFilter, typeServer} {
		if known.takes(prefix) {
			return "", false
		}
	}
	return suggest.Nearest(prefix, slices.Concat(t.prefixes...))
}

func (t *objectType) takes(prefix string) bool {
	return slices.ContainsFunc(t.prefixes,
		func(group []string) bool { return slices.Contains(group, prefix) })
}
