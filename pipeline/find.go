package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// find returns the section that a name stands for, or false when a fault has been recorded.
func (l *configLoader) find(r *resolver, typ *objectType, name *string, at reference) (string, bool) {
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
		r.fault(at.fault(l.file.name, fmt.Errorf("no %s %q", typ.kind, wanted), l.suggest(typ, wanted, at)))
		return "", false
	case 1:
		return possible[0], true
	}
	places := make([]string, len(possible))
	for i, section := range possible {
		places[i] = fmt.Sprintf("[%s] (line %d)", oneLine(section), l.file.heads[section])
	}
	fault := at.fault(l.file.name, fmt.Errorf("%s all have that name", strings.Join(places, " and ")), "rename all but one")
	if len(possible) == 2 {
		fault.Err = fmt.Errorf("%s both have that name", strings.Join(places, " and "))
	}
	if at.setting == nil {
		fault.Line, fault.Section = l.file.heads[possible[1]], possible[1]
	}
	r.fault(fault)
	return "", false
}

// sections returns those with a prefix and a name. Without a name the prefix alone will do, and "main" too.
func (l *configLoader) sections(prefix string, name *string) []string {
	var found []string
	wanted := "main"
	if name != nil {
		wanted = *name
	} else if slices.Contains(l.file.order, prefix) {
		found = append(found, prefix)
	}
	for _, section := range l.file.order {
		if rest, ok := strings.CutPrefix(section, prefix+":"); ok && strip(rest) == wanted {
			found = append(found, section)
		}
	}
	return found
}

// suggest says what there is when a name can't be found: the same name under another prefix, a similar one, or all.
func (l *configLoader) suggest(typ *objectType, wanted string, at reference) string {
	var names []string
	namesake := ""
	places := map[string]string{}
	for _, section := range l.file.order {
		prefix, name, _ := strings.Cut(section, ":")
		name = strip(name)
		place := position(l.file.name, l.file.heads[section])
		if meant, ok := typ.misspelled(prefix); ok && name == wanted {
			return fmt.Sprintf("[%s] (%s): did you mean [%s:%s]?", oneLine(section), place, meant, oneLine(name))
		}
		if !typ.takes(prefix) {
			if name == wanted && name != "main" && name != "" { // a file has a main of several kinds
				namesake = fmt.Sprintf("[%s] (%s) is no %s", oneLine(section), place, typ.kind)
				if rule := at.order(typ.kind); rule != "" {
					namesake += "; " + rule
				}
			}
			continue
		}
		if section == prefix && wanted == "main" {
			return fmt.Sprintf("write [%s:main] in place of [%s] (%s), which has no name", prefix, section, place)
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
	if near, ok := nearest(wanted, names); ok {
		return fmt.Sprintf("did you mean %q (%s)?", near, places[near])
	}
	if len(names) == 0 {
		return fmt.Sprintf("write a section [%s:%s]", typ.prefixes[0][0], oneLine(wanted))
	}
	for i := range names {
		names[i] = oneLine(names[i])
	}
	return have(names)
}

// misspelled returns the prefix that was probably meant by one that there is not.
func (t *objectType) misspelled(prefix string) (string, bool) {
	for _, known := range []*objectType{typeApp, typeFilter, typeServer} {
		if known.takes(prefix) {
			return "", false
		}
	}
	return nearest(prefix, slices.Concat(t.prefixes...))
}

func (t *objectType) takes(prefix string) bool {
	return slices.ContainsFunc(t.prefixes, func(group []string) bool { return slices.Contains(group, prefix) })
}
