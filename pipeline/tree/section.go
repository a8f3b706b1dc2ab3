package tree

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// A configLoader resolves the sections of one file: PasteDeploy's ConfigLoader. The order of its
// steps, and which confs nodes share, follow loadwsgi.py: a "set" or a local setting of an outer
// section is written into the confs of the node that it uses, after these were made.
type configLoader struct {
	path  string // as opened: references are relative to its directory
	file  *File
	extra *Conf // fallback for [DEFAULT]: here, __file__, the global conf of the referring file
}

// raw returns a setting of the file before interpolation, or nil.
func (l *configLoader) raw(section, key string) *Setting { return l.file.setting(section, key) }

// lookup returns the setting that %(key)s stands for in a section.
func (l *configLoader) lookup(section, key string) *Setting {
	if s := l.raw(section, key); s != nil {
		return s
	}
	if s := l.raw("DEFAULT", key); s != nil {
		return s
	}
	return l.extra.find(key)
}

// get returns a setting, interpolated, or nil after recording an error.
func (l *configLoader) get(r *resolver, section, key string) *Setting {
	s := *l.lookup(section, key)
	if s.literal {
		return &s
	}
	lookup := func(name string) *Setting { return l.lookup(section, name) }
	value, refs, err := interpolator{
		lookup: lookup, spend: r.spend,
		learn: r.secrets.AddSecret,
	}.interpolate(&s)
	if err != nil {
		s.Value = "" // may be a secret
		e := s.NewError(err, l.explain(&s, section, err))
		if l.raw(section, key) == nil && l.raw("DEFAULT", key) == nil {
			e.Origin = strings.TrimPrefix(e.Origin+", handed on to "+l.file.name, ", ")
		}
		r.fail(e)
		return nil
	}
	s.Value, s.refs = value, refs
	r.secrets.Add(s.Key, s.Value)
	return &s
}

// explain returns the hint for a reference to a setting that does not exist, or to the setting
// itself.
func (l *configLoader) explain(s *Setting, section string, err error) string {
	if itself, ok := errors.AsType[namesItselfError](err); ok {
		if s.Section != "" {
			section = s.Section
		}
		if _, set := os.LookupEnv(itself.name); set &&
			redact.Name(itself.key, itself.name) == itself.name {
			return fmt.Sprintf("did you mean %%(%s%s)s?", environment, itself.name)
		}
		return fmt.Sprintf("a value from outside needs another name, or replaces the line: serve "+
			"FILE --set %s.%s=…",
			oneLine(section), oneLine(redact.Key(itself.name)))
	}
	unknown, ok := errors.AsType[unknownNameError](err)
	if !ok || strings.HasPrefix(unknown.name, environment) {
		return ""
	}
	var known []string
	for _, s := range []string{section, "DEFAULT"} {
		for _, key := range l.file.keys(s) {
			if name, ok := strings.CutPrefix(key, "set "); ok && pystr.Strip(name) == unknown.name {
				return fmt.Sprintf(`"set %s" is for factories and for the sections used from `+
					`here; move it to [DEFAULT] to use it in values`, unknown.name)
			}
			known = append(known, key)
		}
	}
	known = append(known, l.extra.keys...)
	if near, ok := suggest.Nearest(unknown.name, known); ok {
		return fmt.Sprintf("did you mean %%(%s)s?", near)
	}
	if redact.Name(unknown.key, unknown.name) != unknown.name || len(pystr.Fields(unknown.name)) != 1 {
		return "write it in [DEFAULT], or give it from outside"
	}
	if _, set := os.LookupEnv(unknown.name); set {
		return fmt.Sprintf("did you mean %%(%s%s)s?", environment, unknown.name)
	}
	return fmt.Sprintf("write it in [DEFAULT], or give it: serve FILE %s=…", oneLine(unknown.name))
}

// defaults returns the settings of [DEFAULT] and of extra, interpolated.
func (l *configLoader) defaults(r *resolver) *Conf {
	defaults := newConf()
	keys := append(slices.Clip(l.extra.keys), l.file.keys("DEFAULT")...)
	for _, key := range keys {
		s := l.get(r, "DEFAULT", key)
		if s == nil {
			continue
		}
		if s.Value == "" {
			s.Value = s.Raw // as in PasteDeploy
		}
		defaults.set(s)
	}
	return defaults
}

// directory returns the directory that relative paths in the file refer to. It is not cleaned:
// behind a symbolic link ".." is another directory.
func (l *configLoader) directory() string {
	dir := l.path[:strings.LastIndexByte(l.path, '/')+1]
	if trimmed := strings.TrimRight(dir, "/"); trimmed != "" {
		dir = trimmed
	}
	return cmp.Or(dir, ".")
}

func (l *configLoader) context(r *resolver, typ *objectType, name *string, global *Conf,
	at reference,
) *Node {
	if name != nil && isAbsolute(*name) {
		return r.load(typ, *name, nil, l.directory(), global, at)
	}
	section, ok := l.find(r, typ, name, at)
	if !ok {
		return nil
	}
	s, ok := l.read(r, section, global)
	if !ok {
		return nil
	}
	s.typ = typ
	s.frame = &frame{up: at.up, file: l.file.name, section: section, typ: typ, global: s.global}
	if e := s.frame.check(at); e != nil {
		return r.fail(e)
	}

	var filterWith *Setting
	if typ != typeServer {
		filterWith = s.local.take("filter-with")
	}
	if require := s.local.take("require"); require != nil {
		r.warn(require, "ignored: all packages are compiled into the program; remove the line")
	}
	var node *Node
	switch {
	case strings.HasPrefix(section, "filter-app:"):
		node = s.filterApp(r)
	case strings.HasPrefix(section, "pipeline:"):
		node = s.pipeline(r)
	case s.local.find("use") != nil:
		node = s.use(r, typ)
	default:
		node = s.explicit(r, typ)
	}
	s.warnShadowed(r, node)
	if node != nil {
		node.placed = at
	}
	if filterWith == nil {
		return node
	}
	with := s.node(KindFilterWith)
	with.Filter = l.context(r, typeFilter, &filterWith.Value, s.global,
		reference{setting: filterWith, up: s.frame})
	with.Next = node
	return with
}

// check returns an error for a cycle, or for too many nested sections.
func (f *frame) check(at reference) *Error {
	if f.up != nil {
		f.depth = f.up.depth + 1
	}
	for other := f.up; other != nil; other = other.up {
		if other.file == f.file && other.section == f.section && other.typ == f.typ &&
			other.global.same(f.global) {
			return at.newError(f.file, fmt.Errorf("goes round in a circle: %s", f.trail(other)),
				"have one of them use something else")
		}
	}
	if f.depth > maxDepth {
		return at.newError(f.file, fmt.Errorf("more than %d sections lead from one to the next",
			maxDepth), "")
	}
	return nil
}

// trail describes the path from one section to another.
func (f *frame) trail(from *frame) string {
	var steps []string
	one := true
	for step := f; ; step = step.up {
		steps = append([]string{step.String()}, steps...)
		one = one && step.file == f.file
		if step == from {
			break
		}
	}
	if !one {
		step := f
		for i := len(steps) - 1; i >= 0; i-- {
			steps[i] += " of " + step.file
			step = step.up
		}
	}
	return strings.Join(steps, " -> ")
}

// A sectionReader is the state of resolving one section to a node.
type sectionReader struct {
	loader *configLoader
	name   string
	typ    *objectType
	frame  *frame
	global *Conf
	local  *Conf
	added  *Conf // "set" settings

	shadowed []shadow
}

// read splits the settings of a section into global and local conf.
func (l *configLoader) read(r *resolver, section string, global *Conf) (*sectionReader, bool) {
	errs := len(r.errs)
	defaults := l.defaults(r)
	s := &sectionReader{
		loader: l, name: section, global: defaults.clone(), local: newConf(),
		added: newConf(),
	}
	s.global.update(global)
	if err := r.spend(16 * (1 + s.global.Len())); err != nil {
		r.fail(&Error{File: l.file.name, Line: l.file.heads[section], Section: section, Err: err})
		return nil, false
	}
	fromGlobal := newConf()
	keys := l.file.keys(section)
	own := len(keys)
	for _, key := range append(l.file.keys("DEFAULT"), l.extra.keys...) {
		if l.raw(section, key) == nil {
			keys = append(keys, key)
		}
	}
	for i, key := range keys {
		if name, ok := strings.CutPrefix(key, "set "); ok {
			if setting := l.get(r, section, key); setting != nil {
				setting.Key = pystr.Strip(name)
				s.added.set(setting)
				s.global.set(setting)
			}
		} else if name, ok := strings.CutPrefix(key, "get "); ok {
			if setting := l.get(r, section, key); setting != nil {
				setting.Key = pystr.Strip(name)
				fromGlobal.set(setting)
			}
		} else if hidden := defaults.find(key); (hidden != nil ||
			l.lookup("DEFAULT", key) != nil) &&
			!l.assigned(section, key) {
			if i < own && hidden != nil {
				s.shadowed = append(s.shadowed, shadow{l.raw(section, key), hidden})
			}
		} else if setting := l.get(r, section, key); setting != nil {
			s.local.set(setting)
		}
	}
	s.get(r, fromGlobal)
	l.warnSetInvisible(r, section, s.added)
	return s, len(r.errs) == errs
}

// get applies the section's "get local = global" settings.
func (s *sectionReader) get(r *resolver, wanted *Conf) {
	for _, key := range wanted.keys {
		get := wanted.settings[key]
		found := s.global.find(get.Value)
		if found == nil {
			r.fail(get.NewError(fmt.Errorf("there is no global setting %q", get.Value),
				suggest.DidYouMean(get.Value, s.global.keys)))
			continue
		}
		setting := *found
		setting.Key, setting.getter = key, get
		s.local.set(&setting)
	}
}

// assigned reports whether a setting of a section comes from Options.Set.
func (l *configLoader) assigned(section, key string) bool {
	own := l.raw(section, key)
	return own != nil && own.assigned
}

// A shadow is a setting of a section that has no effect, because the global conf has the key too.
type shadow struct{ own, hidden *Setting }

// warnShadowed warns about PasteDeploy's least known rule: a section can't set a key of [DEFAULT],
// or one given from outside. The warning ends with the value that applies to node.
func (s *sectionReader) warnShadowed(r *resolver, node *Node) {
	for _, shadow := range s.shadowed {
		own, hidden := shadow.own, shadow.hidden
		applies := node.applies(own.Key)
		if own.Raw == hidden.Raw && applies == "" {
			continue
		}
		remedy := fmt.Sprintf(`write "set %s = …" to change it for this section and what it uses`,
			own.Key)
		switch {
		case hidden.Line == 0 && hidden.File == "":
			remedy = fmt.Sprintf("write --set %s.%s=… to replace this line",
				oneLine(s.name), own.Key)
		case applies != "":
			remedy = "take it out there"
		}
		r.warn(own, strings.Join(slices.DeleteFunc([]string{
			"ignored, because " + hidden.hides(), remedy, applies,
		}, func(part string) bool { return part == "" }), "; "))
	}
}

// applies describes the value of a node's setting whose line in the section has no effect: "" if
// the node's factory does not have the setting.
func (n *Node) applies(key string) string {
	if n == nil {
		return ""
	}
	f := n.factory.setting(key)
	if f == nil {
		return ""
	}
	switch other := n.LocalConf.find(key); {
	case other != nil && f.Secret:
		return fmt.Sprintf("the value at %s applies", other.source())
	case other != nil:
		return fmt.Sprintf("%q applies (%s)", other.Value, other.source())
	case f.Secret:
		return "the default applies"
	case f.HasDefault:
		return fmt.Sprintf("the default applies, %s", f.Default)
	case f.Help != "":
		return "the default applies (" + f.Help + ")"
	default:
		return "the default applies"
	}
}

// warnSetInvisible warns that %(x)s does not use the value of "set x".
func (l *configLoader) warnSetInvisible(r *resolver, section string, added *Conf) {
	for _, name := range added.keys {
		for _, key := range l.file.keys(section) {
			s, meant := l.raw(section, key), l.lookup(section, name)
			if meant != nil && strings.Contains(strings.ReplaceAll(s.Raw, "%%", ""),
				"%("+name+")s") && key != added.settings[name].Written {
				r.warn(s, fmt.Sprintf(`%%(%s)s is not what "set %s" says, but what %s (%s) says`,
					name, name, meant.Written, meant.source()))
			}
		}
	}
}

func (s *sectionReader) node(kind Kind) *Node {
	return &Node{
		Kind: kind, Name: s.name, Source: s.position(), GlobalConf: s.global, LocalConf: s.local,
		loader: s.loader, trail: s.frame,
	}
}

func (s *sectionReader) position() Position {
	return Position{File: s.loader.file.name, Line: s.loader.file.heads[s.name], Section: s.name}
}

// missing returns the error for a required key. If the key is set but [DEFAULT] or a setting from
// outside has it too, the error says so.
func (s *sectionReader) missing(r *resolver, key string, err error, hint string) *Node {
	own, hidden := s.loader.raw(s.name, key), s.loader.lookup("DEFAULT", key)
	switch {
	case own != nil && hidden != nil:
		return r.fail(own.NewError(fmt.Errorf("ignored, because %s", hidden.hides()),
			"take it out there"))
	case hidden != nil && hidden.Section == "DEFAULT":
		return r.fail(hidden.NewError(fmt.Errorf("[%s] does not take its %s from [DEFAULT]",
			oneLine(s.name), key), "move it into the section"))
	}
	p := s.position()
	return r.fail(&Error{File: p.File, Line: p.Line, Section: p.Section, Err: err, Hint: hint})
}

func (s *sectionReader) at(setting *Setting) reference {
	return reference{setting: setting, up: s.frame}
}

// use resolves "use = …", and copies the settings of this section to the node that it found.
func (s *sectionReader) use(r *resolver, typ *objectType) *Node {
	use := s.local.take("use")
	node := s.loader.context(r, typ, &use.Value, s.global, s.at(use))
	if node == nil {
		return nil
	}
	node.GlobalConf.update(s.added)
	node.LocalConf.update(s.local)
	if file := s.global.find("__file__"); file != nil {
		node.GlobalConf.set(file)
	}
	node.loader, node.trail = s.loader, s.frame
	if node.Factory != (Factory{}) {
		node.Name, node.Source = s.name, s.position()
	}
	prefix, _, _ := strings.Cut(s.name, ":")
	if node.Protocol == "" {
		switch prefix {
		case "app", "application":
			node.Protocol = "paste.app_factory"
		case "composit", "composite":
			node.Protocol = "paste.composit_factory"
		default:
			node.Protocol = "paste." + prefix + "_factory"
		}
		s.loader.bind(r, node, typ)
	} else if node.guessed && strings.HasPrefix(prefix, "composit") {
		node.Kind, node.Protocol, node.guessed = KindComposite, "paste.composite_factory", false
	}
	s.warnUnused(r, node)
	return node
}

// warnUnused warns about settings of a section that uses a pipeline, a filter-app or a filter-with:
// their parts do not get them.
func (s *sectionReader) warnUnused(r *resolver, node *Node) {
	if node.Kind != KindPipeline && node.Kind != KindFilterApp && node.Kind != KindFilterWith {
		return
	}
	for _, key := range s.local.keys {
		setting := s.local.settings[key]
		if setting.getter != nil {
			setting = setting.getter
		}
		r.warn(setting, fmt.Sprintf("has no effect: [%s] is a %s, and hands no settings on",
			node.Name, node.Kind))
	}
}

// bind looks up the factory of a node after its protocol has been determined.
func (l *configLoader) bind(r *resolver, node *Node, typ *objectType) {
	if node.Factory == (Factory{}) {
		return
	}
	if kind := typ.kindOf(node.Protocol); kind != "" {
		node.become(kind, node.Protocol, r.names.find(kind, node.Factory))
	}
}

// explicit resolves "paste.app_factory = module:function" and similar settings.
func (s *sectionReader) explicit(r *resolver, typ *objectType) *Node {
	var found []string
	for _, group := range typ.protocols {
		for _, protocol := range group {
			if s.local.find(protocol) != nil {
				found = append(found, protocol)
				break
			}
		}
	}
	switch {
	case len(found) > 1:
		e := s.local.find(found[1]).NewError(fmt.Errorf("there is a %s too (%s)", found[0],
			s.local.find(found[0]).source()), "write only one of them")
		return r.fail(e)
	case len(found) == 0:
		return s.missing(r, "use", errors.New("nothing says what it is"),
			fmt.Sprintf("write use = egg:Dist#name, use = another section, or %s = module:function",
				typ.protocols[0][0]))
	}
	setting := s.local.take(found[0])
	ref, err := objectReference(setting.Value)
	if err != nil {
		return r.fail(setting.NewError(err, ""))
	}
	node := s.node(typ.kind)
	node.Factory, node.Protocol, node.written = ref, found[0], s.at(setting)
	s.loader.bind(r, node, typ)
	return node
}

func (s *sectionReader) filterApp(r *resolver) *Node {
	next := s.local.take("next")
	if next == nil {
		return s.missing(r, "next", errors.New("next is missing"),
			"write next = the app that the filter is around")
	}
	node := s.node(KindFilterApp)
	node.Next = s.loader.context(r, typeApp, &next.Value, s.global, s.at(next))
	if s.local.find("use") != nil {
		node.Filter = s.use(r, typeFilter)
	} else {
		node.Filter = s.explicit(r, typeFilter)
	}
	return node
}

func (s *sectionReader) pipeline(r *resolver) *Node {
	members := s.local.take("pipeline")
	if members == nil {
		return s.missing(r, "pipeline", errors.New("pipeline is missing"),
			"write pipeline = filters and, last, the app")
	}
	for _, key := range s.local.keys {
		r.fail(s.local.settings[key].newErrorWithoutValue(errors.New("not a setting of a pipeline"),
			cmp.Or(HalfHeader(key),
				"its members have sections of their own; set, get and filter-with may stand here")))
	}
	names := pystr.Fields(members.Value)
	if len(names) == 0 {
		return r.fail(members.NewError(errors.New("empty"), "want filters and, last, the app"))
	}
	node := s.node(KindPipeline)
	at, count := make([]reference, len(names)), map[string]int{}
	for i, name := range names {
		at[i] = reference{setting: members, word: name, nth: count[name], up: s.frame}
		count[name]++
	}
	last := len(names) - 1
	node.App = s.loader.context(r, typeApp, &names[last], s.global, at[last])
	for i := range names[:last] {
		node.Filters = append(node.Filters, s.loader.context(r, typeFilter, &names[i],
			s.global, at[i]))
	}
	return node
}
