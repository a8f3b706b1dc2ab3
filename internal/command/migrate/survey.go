package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/internal/command/scaffold"
	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A conversion is the treatment of a name that is not registered.
type conversion int

const (
	toWrite  conversion = iota // a stub that answers 501
	passes                     // a filter that does nothing
	sameAs                     // another name of a registered factory
	value                      // a value that a setting names
	isServed                   // a server, replaced by the standard one
)

// A stub is a name that the project registers.
type stub struct {
	conversion conversion
	kind       tree.Kind
	name       string // as written in the file
	function   string // in Go; for sameAs the registered name, for value the key of the setting
	hint       string
	at         tree.Position
	settings   []string
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// survey resolves every section of the first file, and collects the names that are not registered.
// It fails if a served section can't be resolved; other such sections are noted.
func (p *Plan) survey() error {
	f := p.main()
	var faults, unused []error
	inner := map[string]bool{} // sections used by others
	var main *tree.Tree
	var others []*tree.Tree
	options := p.options()
	resolve := func(kind tree.Kind, section string) *tree.Tree {
		options.Name = nameOf(section)
		resolved, err := tree.Resolve(f.path, kind, options.Tree())
		if err != nil && nameOf(section) == "main" && kind != tree.KindFilter {
			faults = append(faults, err)
			return nil
		}
		if err != nil {
			unused = append(unused, err)
			for fault := range strings.SplitSeq(err.Error(), "\n") {
				p.notes = append(p.notes, note{tree.Position{}, "", "left as it is: " + fault})
			}
			return nil
		}
		p.walk(resolved, resolved.Root, func(n *tree.Node) {
			if n.Source.Section != section || n.Source.File != f.path {
				inner[n.Source.File+"\n"+n.Source.Section] = true
			}
			p.classify(n)
		})
		return resolved
	}
	apps := f.sections(isApp)
	trees := map[string]*tree.Tree{}
	for _, section := range apps {
		trees[section] = resolve(tree.KindApp, section)
	}
	for _, section := range f.sections(isFilter) {
		if resolved := resolve(tree.KindFilter, section); resolved != nil &&
			!inner[f.path+"\n"+section] {
			others = append(others, resolved)
		}
	}
	for _, section := range apps {
		switch resolved := trees[section]; {
		case resolved == nil:
		case nameOf(section) == "main":
			main = resolved
		case !inner[f.path+"\n"+section]:
			others = append(others, resolved)
		}
	}
	if !hasName(apps, "main") {
		main, others = p.addMainApp(apps, trees, others)
	}
	p.roots = append(p.roots, main)
	for _, section := range f.sections(isServer) {
		switch resolved := resolve(tree.KindServer, section); {
		case resolved == nil:
		case nameOf(section) == "main":
			p.roots = append(p.roots, resolved)
		default:
			others = append(others, resolved)
		}
	}
	p.served = len(p.roots)
	p.roots = append(p.roots, others...)
	if err := tree.JoinErrors(faults...); err != nil {
		return err
	}
	if main == nil {
		err := &pipeline.Error{
			File: f.path, Err: errors.New("no app of the file can be served"),
			Hint: "give one the name main",
		}
		return tree.JoinErrors(append(unused, err)...)
	}
	p.remark()
	p.nameFunctions()
	return nil
}

// addMainApp adds an app main to a file without one: the first section that no other section uses.
func (p *Plan) addMainApp(apps []string, trees map[string]*tree.Tree,
	others []*tree.Tree,
) (*tree.Tree, []*tree.Tree) {
	var names []string
	var main *tree.Tree
	for _, section := range apps {
		resolved := trees[section]
		if i := slices.Index(others, resolved); resolved != nil && i >= 0 && nameOf(section) != "" {
			names = append(names, nameOf(section))
			if main == nil {
				main = resolved
				others = slices.Delete(others, i, i+1)
			}
		}
	}
	if main == nil {
		return nil, others
	}
	p.extra = append(p.extra, "", mark+"what is served", "[app:main]", "use = "+names[0])
	why := "the file has no app called main"
	if len(names) > 1 {
		why += "; others that may be written there: " + strings.Join(names[1:], ", ")
	}
	p.added = append(p.added, fmt.Sprintf("[app:main], which is %s: %s", names[0], why))
	return main, others
}

// walk visits a node, its parts, and the nodes that its composites name.
func (p *Plan) walk(resolved *tree.Tree, root *tree.Node, visit func(*tree.Node)) {
	seen := map[string]bool{}
	var step func(n *tree.Node)
	step = func(n *tree.Node) {
		key := fmt.Sprint(n.Kind, "\n", n.Source, "\n", n.Name)
		if seen[key] {
			return
		}
		seen[key] = true
		visit(n)
		for _, part := range parts(n) {
			step(part)
		}
		for _, c := range children(resolved, n) {
			step(c.node)
		}
	}
	step(root)
}

// parts returns the parts of a node, outermost first.
func parts(n *tree.Node) []*tree.Node {
	nodes := append(slices.Clone(n.Filters), n.App, n.Filter, n.Next)
	return slices.DeleteFunc(nodes, func(part *tree.Node) bool { return part == nil })
}

// A child is an app or a filter that a setting of a composite names.
type child struct {
	setting tree.Setting
	node    *tree.Node
}

func children(resolved *tree.Tree, n *tree.Node) []child {
	if n.Kind != tree.KindComposite && !hasPrefix(n.Source.Section, "composite", "composit") {
		return nil
	}
	var found []child
	for s := range n.LocalConf.All() {
		for word := range strings.FieldsSeq(s.Value) {
			if app := resolved.Named(n, word); app != nil {
				found = append(found, child{s, app})
			}
		}
	}
	return found
}

// classify records the conversion of a node's name, if it is not registered.
func (p *Plan) classify(n *tree.Node) {
	if n.Registered {
		p.works[n.Source.File+"\n"+n.Source.Section] = true
	}
	if n.Factory == (tree.Factory{}) || n.Registered || n.Protocol == "" {
		return
	}
	s := &stub{kind: n.Kind, name: strings.TrimSuffix(n.Factory.String(), "#main"), at: n.Source}
	if n.Kind == tree.KindApp && hasPrefix(n.Source.Section, "composite", "composit") {
		s.kind = tree.KindComposite
	}
	for setting := range n.LocalConf.All() {
		s.settings = append(s.settings, shownKey(setting.Key))
	}
	s.hint = p.registry.Elsewhere(s.kind, n.Factory)
	same, isSame := strings.CutPrefix(s.hint, "write use = egg:")
	same, _, _ = strings.Cut(same, ":")
	same, _, _ = strings.Cut(same, ",")
	switch {
	case s.kind == tree.KindServer:
		s.conversion = isServed
	case isSame:
		s.conversion, s.function = sameAs, "egg:"+same
	case s.kind == tree.KindFilter && s.hint != "" && p.opts.Idle(s.hint):
		s.conversion = passes
	case s.kind == tree.KindComposite && isMapOfPaths(n):
		s.conversion, s.function = sameAs, "egg:Paste#urlmap"
	}
	for _, other := range p.stubs {
		if sameName(other.name, s.name) && (other.kind == s.kind && s.conversion != isServed ||
			areApps(other.kind, s.kind)) {
			if s.kind == tree.KindComposite && other.conversion == toWrite {
				other.kind = s.kind // ambiguous: a composite can do more
			}
			return
		}
	}
	if !slices.ContainsFunc(p.stubs, func(other *stub) bool {
		return other.kind == s.kind &&
			other.at == s.at && other.name == s.name
	}) {
		p.stubs = append(p.stubs, s)
	}
}

func areApps(kinds ...tree.Kind) bool {
	return !slices.ContainsFunc(kinds, func(k tree.Kind) bool {
		return k != tree.KindApp &&
			k != tree.KindComposite
	})
}

// sameName compares names as the registry does: in a distribution, upper and lower case are equal,
// and so are the separators - _ and period.
func sameName(a, b string) bool {
	normal := func(name string) string {
		dist, entryPoint, _ := strings.Cut(name, "#")
		if !strings.HasPrefix(name, "egg:") {
			return name
		}
		return strings.ToLower(strings.Join(strings.FieldsFunc(dist,
			func(r rune) bool { return strings.ContainsRune("-_.", r) }), "-")) + "#" + entryPoint
	}
	return normal(a) == normal(b)
}

// isMapOfPaths reports whether a composite is one of the many copies of Paste's urlmap.
func isMapOfPaths(n *tree.Node) bool {
	name := n.Factory.EntryPoint + n.Factory.Object
	if !strings.HasSuffix(name, "urlmap_factory") && !strings.HasSuffix(name, "urlmap") {
		return false
	}
	for s := range n.LocalConf.All() {
		if !strings.HasPrefix(s.Key, "/") && !strings.HasPrefix(s.Key, "http://") &&
			!strings.HasPrefix(s.Key, "https://") {
			return false
		}
	}
	return n.LocalConf.Len() > 0
}

// shownKey returns a key for output, in one line and without secrets.
func shownKey(key string) string { return oneLine(redact.Key(key)) }

func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// nameFunctions gives each stub a unique function name.
func (p *Plan) nameFunctions() {
	taken := map[string]bool{}
	for _, s := range p.stubs {
		if s.conversion != toWrite {
			continue
		}
		kind := strings.ToUpper(string(s.kind[:1])) + string(s.kind[1:])
		base := "new" + strings.TrimSuffix(identifier(s.name), kind) + kind
		s.function = base
		for i := 2; taken[s.function]; i++ {
			s.function = base + strconv.Itoa(i)
		}
		taken[s.function] = true
	}
}

// identifier returns the middle part of a Go name: MySiteAuth for egg:My-Site#auth, WebMakeApp for
// call:acme.web:make_app.
func identifier(name string) string {
	if object, ok := strings.CutPrefix(name, "call:"); ok {
		module, function, _ := strings.Cut(object, ":")
		name = module[strings.LastIndexByte(module, '.')+1:] + " " + function
	}
	name = strings.TrimPrefix(name, "egg:")
	var b strings.Builder
	size, start := 0, true
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			start = true
			continue
		}
		if start {
			r = unicode.ToUpper(r)
		}
		start = false
		if size++; size > longestName {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

const longestName = 60

// title describes a stub for a comment in the project.
func (p *Plan) title(s *stub) string {
	return fmt.Sprintf("%s (%s)", oneLine(s.name), p.place(s.at))
}

// line returns the line of Go that registers a stub, or "".
func (s *stub) line() string {
	name := strconv.Quote(s.name)
	switch s.conversion {
	case toWrite:
		call := map[tree.Kind]string{
			tree.KindApp:       "App",
			tree.KindComposite: "Composite", tree.KindFilter: "Filter",
		}[s.kind]
		return fmt.Sprintf("pipeline.%s(r, %s, %s)", call, name, s.function)
	case passes:
		return fmt.Sprintf("pipeline.Filter(r, %s, passOn)", name)
	case sameAs:
		return fmt.Sprintf("r.Alias(%s, %q)", name, s.function)
	case value:
		if s.function == "retryable" {
			return fmt.Sprintf("pipeline.Value(r, %s, retry.Predicate(transaction.IsTransient))",
				name)
		}
		return fmt.Sprintf("pipeline.Value(r, %s, tm.Veto(tm.RepozeVeto))", name)
	}
	return ""
}

// Lines returns the lines of Go that register the stubs, and the other names of registered
// factories.
func (p *Plan) Lines() []string { return p.project().Lines }

// project returns the contents of the project.
func (p *Plan) project() scaffold.Migrated {
	var m scaffold.Migrated
	for _, f := range p.files {
		ini := scaffold.Ini{Path: f.target, Text: f.text(), Mode: f.mode}
		if f == p.main() && len(p.extra) > 0 {
			ini.Text += strings.Join(p.extra, f.ending) + f.ending
		}
		m.Ini = append(m.Ini, ini)
	}
	for _, s := range p.sorted() {
		if line := s.line(); line != "" {
			m.Lines = append(m.Lines, line)
		}
		made := scaffold.Stub{
			Kind: string(s.kind), Title: p.title(s), Function: s.function,
			Settings: s.settings,
		}
		switch {
		case s.conversion == passes:
			m.PassOn = true
		case s.conversion == value:
			m.Retry = m.Retry || s.function == "retryable"
			m.Veto = m.Veto || s.function != "retryable"
		case s.conversion != toWrite:
		case s.kind == tree.KindFilter:
			m.Filters = append(m.Filters, made)
		default:
			m.Apps = append(m.Apps, made)
		}
	}
	m.Folders, m.Variables = p.folders(), p.variables()
	return m
}

// sorted returns the stubs in the order of the file.
func (p *Plan) sorted() []*stub {
	return slices.SortedStableFunc(slices.Values(p.stubs), func(a, b *stub) int {
		return cmp.Or(cmp.Compare(a.conversion, b.conversion), cmp.Compare(a.at.File, b.at.File),
			cmp.Compare(a.at.Line, b.at.Line))
	})
}
