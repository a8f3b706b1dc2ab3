package tree

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/ini.v1"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// Options select the configuration to load and its environment.
type Options struct {
	// Name is the name of the section without the prefix; "" means "main". A "#name" at the end of
	// the URI has the same meaning.
	Name string
	// Unnamed says that, if Name is empty, a section without a name, such as [app], is found too, as
	// by the method get_app of PasteDeploy's ConfigLoader. The URI then has to name a file.
	Unnamed bool
	// Global are settings given from outside, by the caller: factories get them in place of those
	// of [DEFAULT], while interpolation uses [DEFAULT] first, as in PasteDeploy.
	Global map[string]string
	// Set replaces or adds settings of the file that the URI names: each element is
	// "section.key=value", such as "server:main.port=80". Values are literal, and take precedence
	// over [DEFAULT] and Global. Files that this one includes are left as they are.
	Set []string
	// Catalog has the factories. Without one no factory is registered, and the tree lacks the
	// knowledge which settings are secret.
	Catalog Catalog
	// RelativeTo is the directory that a "config:" URI with a relative path starts from. A plain
	// path needs none.
	RelativeTo string
	// ReadFile reads a file; nil means os.ReadFile. Its argument is the path of the URI or, for
	// included files, the first file's directory with the path of the reference.
	ReadFile func(name string) ([]byte, error)

	maxWork int // a smaller limit than maxWork, for tests
}

// Resolve resolves a configuration to a tree without creating any object. The kind is KindApp,
// KindFilter or KindServer. The URI is the path of an .ini file, or a URI of PasteDeploy:
// "config:site.ini#name", "egg:Dist#name". Factories that are not registered are marked in the
// tree: only creating them fails.
//
// The error is of type [Errors] and has all errors of the files that were read.
func Resolve(uri string, kind Kind, opts Options) (*Tree, error) {
	t, err := ResolvePartly(uri, kind, opts)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ResolvePartly is Resolve for a caller that goes on after an error, to report more errors: the
// tree is never nil, but its Root may be, or may lack some parts.
func ResolvePartly(uri string, kind Kind, opts Options) (*Tree, error) {
	r := newResolver(opts)
	root, err := r.start(uri, kind, opts)
	return &Tree{Root: root, resolver: r}, err
}

// ReadSection reads any section of a file, such as [logging], whose settings info describes. The URI
// is as for [Resolve]; a name in it is ignored. Values are interpolated; keys of [DEFAULT] only
// serve interpolation. The tree has one node, whose LocalConf has the settings: none if the section
// does not exist, or the URI names no file. After an error it lacks some of them.
func ReadSection(uri, section string, info FactoryInfo, opts Options) (*Tree, error) {
	r := newResolver(opts)
	node := &Node{
		Name: section, LocalConf: newConf(), Source: Position{Section: section}, factory: &info,
	}
	if l, ok := r.open(uri, opts); ok {
		node.Source.File, node.Source.Line = l.file.name, l.file.heads[section]
		for _, key := range l.file.keys(section) {
			if s := l.get(r, section, key); s != nil {
				node.LocalConf.set(s)
			}
		}
	}
	_, err := r.finish(node)
	return &Tree{Root: node, resolver: r}, err
}

// open returns the loader of the file that a URI names, or false if it names none, or after
// recording an error.
func (r *resolver) open(uri string, opts Options) (*configLoader, bool) {
	uri, relativeTo := fromPath(uri, opts.RelativeTo)
	uri, _, _ = strings.Cut(uri, "#")
	scheme, path := cutScheme(uri)
	if scheme != "config" {
		return nil, false
	}
	l, ok := r.openConfig(path, relativeTo, opts.global(), reference{}).(*configLoader)
	return l, ok
}

// An objectType is the type of object that a reference is for: PasteDeploy's APP, FILTER and
// SERVER.
type objectType struct {
	kind     Kind
	prefixes [][]string // of sections: the first of each group that exists is used
	// protocols are the keys that name a factory directly. The first of each group that exists is
	// used, and only one group may occur.
	protocols [][]string
}

var (
	typeApp = &objectType{
		KindApp,
		[][]string{{"app", "application"}, {"composite", "composit"}, {"pipeline"}, {"filter-app"}},
		[][]string{{"paste.app_factory"}, {"paste.composite_factory"}, {"paste.composit_factory"}},
	}
	typeFilter = &objectType{
		KindFilter,
		[][]string{{"filter"}},
		[][]string{{"paste.filter_factory", "paste.filter_app_factory"}},
	}
	typeServer = &objectType{
		KindServer,
		[][]string{{"server"}},
		[][]string{{"paste.server_factory", "paste.server_runner"}},
	}
)

var objectTypes = map[Kind]*objectType{
	KindApp: typeApp, KindFilter: typeFilter, KindServer: typeServer,
}

// kindOf returns the kind that a protocol creates, or "" if the protocol is unknown or not for this
// type of object.
func (t *objectType) kindOf(protocol string) Kind {
	for _, group := range t.protocols {
		if slices.Contains(group, protocol) {
			if strings.HasPrefix(protocol, "paste.compos") {
				return KindComposite
			}
			return t.kind
		}
	}
	return ""
}

// A frame is one step on the path to a node: a section that was looked up as one type of object.
type frame struct {
	up      *frame
	depth   int
	file    string
	section string
	typ     *objectType
	global  *Conf
}

func (f *frame) String() string { return "[" + oneLine(f.section) + "]" }

// A loader resolves names: PasteDeploy's ConfigLoader, EggLoader and FuncLoader.
type loader interface {
	// context returns the node, or nil after recording an error. A nil name differs from "" and
	// "main".
	context(r *resolver, typ *objectType, name *string, global *Conf, at reference) *Node
}

// A reference is the place where a name is written: the setting, and the word in it. The zero value
// is outside of any file.
type reference struct {
	setting *Setting
	word    string // the member of a pipeline; "" if the whole value is the name
	nth     int    // of several members of that name, from 0
	up      *frame
}

// newError returns an error about the reference, or, if it came from outside, about the file to load.
func (at reference) newError(file string, err error, hint string) *Error {
	if at.setting == nil {
		return &Error{File: file, Err: err, Hint: hint}
	}
	e := at.setting.NewError(err, hint)
	if at.word != "" {
		e.Value = ""
		e.Line = at.source().Line
	}
	return e
}

// order returns the hint about a member of a pipeline that is of another kind than needed, or "" if
// the reference is no member of a pipeline.
func (at reference) order(kind Kind) string {
	switch {
	case at.setting == nil || at.word == "":
		return ""
	case kind == KindFilter:
		return "a pipeline has one app, and it stands last"
	default:
		return "a pipeline ends with its app"
	}
}

// malformed returns the error for a syntactically wrong reference.
func (at reference) malformed(err error) *Error {
	if at.word != "" {
		err = fmt.Errorf("%q: %w", at.word, err)
	}
	return at.newError("", err, "")
}

func (at reference) source() Position {
	s := at.setting
	if s == nil {
		return Position{}
	}
	p := Position{File: s.File, Line: s.Line, Section: s.Section}
	if at.word != "" {
		before := at.nth
		for i, line := range strings.Split(s.Raw, "\n") {
			for _, word := range pystr.Fields(line) {
				if word != at.word || i >= len(s.lines) {
					continue
				}
				p.Line = s.lines[i]
				if before--; before < 0 {
					return p
				}
			}
		}
	}
	return p
}

const (
	maxDepth = 500 // nested sections; Python's stack overflows a little earlier
	// characters interpolated plus 16 × settings copied; more than a large site needs
	maxWork = 1 << 22
)

// A resolver is the state that the loaders of one tree share.
type resolver struct {
	names    names
	readFile func(string) ([]byte, error)
	set      []string // Options.Set, for the first file

	files    map[string]*File // nil for a file with errors
	order    []string
	errs     Errors
	warnings []Warning
	warned   map[Warning]bool
	work     int // spent so far, up to maxWork
	maxWork  int
	tooMuch  bool // errTooMuch has been reported

	used       map[string]bool // global settings read by factories
	secrets    redact.Secrets  // found in values
	secretKeys map[string]bool // declared secret by a factory
}

func newResolver(opts Options) *resolver {
	r := &resolver{
		names: names{opts.Catalog}, readFile: opts.ReadFile, set: opts.Set,
		maxWork: cmp.Or(opts.maxWork, maxWork),
		files:   map[string]*File{}, warned: map[Warning]bool{},
		used: map[string]bool{}, secretKeys: map[string]bool{},
	}
	if r.readFile == nil {
		r.readFile = os.ReadFile
	}
	return r
}

var schemePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]+:`)

// start resolves the URI given to Load. Unlike PasteDeploy it also takes a plain path in place of
// "config:".
func (r *resolver) start(uri string, kind Kind, opts Options) (*Node, error) {
	typ := objectTypes[kind]
	if typ == nil {
		return nil, fmt.Errorf("%q can't be asked for by itself; want app, filter or server", kind)
	}
	for key, value := range opts.Global {
		r.secrets.Add(key, value)
	}
	var name *string
	if opts.Name != "" {
		name = &opts.Name
	}
	var root *Node
	if opts.Unnamed {
		if l, ok := r.open(uri, opts); ok {
			root = l.context(r, typ, name, opts.global(), reference{})
		}
	} else {
		uri, relativeTo := fromPath(uri, opts.RelativeTo)
		root = r.load(typ, uri, name, relativeTo, opts.global(), reference{word: uri})
	}
	if root != nil {
		r.debug(root)
	}
	return r.finish(root)
}

// debug returns the global setting debug of a node, and warns if it is neither true nor false.
func (r *resolver) debug(node *Node) bool {
	s := node.GlobalConf.find("debug")
	if s == nil {
		return false
	}
	debug, err := convert.AsBool(s.Value)
	if err != nil {
		r.warn(s, fmt.Sprintf("%q is taken for false; write true or false", s.Value))
	}
	return err == nil && debug
}

// fromPath converts a path to a URI. The path is taken literally, except for a "#name" at the end.
func fromPath(uri, relativeTo string) (string, string) {
	if schemePattern.MatchString(uri) {
		return uri, relativeTo
	}
	path, fragment, named := cutLast(uri, "#")
	uri = "config:" + strings.ReplaceAll(path, "%", "%25")
	if named {
		uri += "#" + fragment
	}
	return uri, cmp.Or(relativeTo, ".")
}

// global returns the global conf given from outside.
func (o Options) global() *Conf {
	global := newConf()
	for _, key := range slices.Sorted(maps.Keys(o.Global)) {
		value := o.Global[key]
		global.set(&Setting{Key: key, Value: value, Raw: value, Written: key})
	}
	return global
}

// finish returns the node and the errors. With errors the node is nil, or lacks some of its parts.
func (r *resolver) finish(node *Node) (*Node, error) {
	r.learn(node)
	return node, r.conceal(sorted(r.errs))
}

// learn records the settings that the factories of a node and its parts declare secret.
func (r *resolver) learn(node *Node) {
	if node == nil {
		return
	}
	for s := range node.LocalConf.All() {
		if node.IsSecret(s.Key) {
			r.secretKeys[s.Key] = true
			r.secrets.AddSecret(s.Value)
		}
	}
	for _, part := range node.Parts() {
		r.learn(part)
	}
}

// conceal hides the secrets in errors.
func (r *resolver) conceal(err error) error {
	if err == nil {
		return nil
	}
	errs := flatten(err, nil)
	for _, e := range errs {
		e.secrets = &r.secrets
		if r.secretKeys[e.Key] && e.Value != "" {
			e.Value, e.Origin = redact.Hidden, ""
		}
	}
	return errs
}

// shown returns the value of a setting of a node with secrets hidden.
func (r *resolver) shown(node *Node, s Setting) string {
	switch {
	case s.literal, s.Value == "":
		return s.Value // "here" and the like
	case node.IsSecret(s.Key), r.secretKeys[s.Key]:
		return redact.Hidden
	}
	if own := node.LocalConf.find(s.Key); own != nil && own.Value == s.Value && node.knows(s.Key) &&
		redact.IsSecretKey(s.Key) {
		// the key looks secret, but the factory declares it as not
		return r.secrets.Value("", s.Value)
	}
	return r.secrets.Value(s.Key, s.Value)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (r *resolver) fail(e *Error) *Node {
	if errors.Is(e.Err, errTooMuch) {
		if r.tooMuch {
			return nil // report it once: everything fails from then on
		}
		r.tooMuch = true
	}
	r.errs = append(r.errs, e)
	return nil
}

func (r *resolver) warn(s *Setting, message string) { r.add(s.NewWarning(message)) }

func (r *resolver) add(w Warning) {
	if !r.warned[w] {
		r.warned[w] = true
		r.warnings = append(r.warnings, w)
	}
}

func (r *resolver) sortedWarnings() []Warning {
	warnings := slices.SortedStableFunc(slices.Values(r.warnings), func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	for i, w := range warnings {
		warnings[i].Message = r.secrets.Hide(w.Message)
	}
	return warnings
}

// spend counts work; above the limit every further step fails.
func (r *resolver) spend(n int) error {
	r.work += n
	if r.work > r.maxWork {
		return errTooMuch
	}
	return nil
}

// load resolves a URI, as PasteDeploy's loadcontext does. A relative path of "config:" is relative
// to relativeTo.
func (r *resolver) load(typ *objectType, uri string, name *string, relativeTo string, global *Conf,
	at reference,
) *Node {
	uri, fragment, named := strings.Cut(uri, "#")
	if name == nil {
		if !named {
			fragment = "main"
		}
		name = &fragment
	}
	scheme, path := cutScheme(uri)
	var l loader
	switch scheme {
	case "config":
		l = r.openConfig(path, relativeTo, global, at)
	case "egg":
		l = eggLoader{path}
	case "call":
		l = callLoader{path}
	default:
		e := at.malformed(fmt.Errorf("the scheme %q is not known; config:, egg: and call: are",
			scheme))
		if _, err := callReference(uri); err == nil {
			e.Hint = fmt.Sprintf("did you mean %q?", "call:"+uri)
		}
		return r.fail(e)
	}
	if l == nil {
		return nil
	}
	return l.context(r, typ, name, global, at)
}

// cutScheme splits off the scheme, in lower case; it is "" if there is none.
func cutScheme(uri string) (scheme, rest string) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return "", uri
	}
	return strings.ToLower(scheme), rest
}

// openConfig returns a loader for a file, or nil after recording an error.
func (r *resolver) openConfig(path, relativeTo string, global *Conf, at reference) loader {
	absolute := strings.HasPrefix(path, "/") || filepath.IsAbs(path)
	path = strings.ReplaceAll(path, `\`, "/")
	if !absolute {
		if relativeTo == "" {
			r.fail(at.newError("", fmt.Errorf("config:%s: nothing says what the path is relative to",
				path), "write an absolute path"))
			return nil
		}
		if path = strings.TrimSuffix(strings.ReplaceAll(relativeTo, `\`, "/"), "/") + "/" +
			path; relativeTo == "." {
			path = path[len("./"):] // as the user wrote it
		}
	}
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	path = pystr.Strip(unquote(path))
	file := r.file(path, at)
	if file == nil {
		return nil
	}
	l := &configLoader{path: path, file: file, extra: newConf()}
	full, err := absolutePath(path)
	if err != nil {
		r.fail(at.newError(file.name, err, ""))
		return nil
	}
	for _, s := range []Setting{
		{Key: "here", Value: directoryOf(full)},
		{Key: "__file__", Value: full},
	} {
		// Unlike in PasteDeploy, a percent sign in the path is not interpolated.
		s.Raw, s.Written, s.File, s.literal = s.Value, s.Key, file.name, true
		l.extra.set(&s)
	}
	for outer := range global.All() {
		if l.lookup("DEFAULT", outer.Key) == nil {
			outer.Raw, outer.refs = outer.Value, nil
			l.extra.set(&outer)
		}
	}
	return l
}

// file reads and parses a file, once.
func (r *resolver) file(path string, at reference) *File {
	if file, ok := r.files[path]; ok {
		return file
	}
	name := filepath.Clean(path)
	data, err := r.readFile(path)
	if err != nil {
		r.fail(at.newError(name, readFault(err, name, at.setting != nil), ""))
		return nil
	}
	file, err := Parse(name, data)
	r.files[path] = file
	if !slices.Contains(r.order, name) {
		r.order = append(r.order, name)
	}
	if err != nil {
		r.errs = append(r.errs, flatten(err, nil)...)
		return nil
	}
	if len(r.order) == 1 {
		for _, assignment := range r.set {
			if e := file.assign(assignment); e != nil {
				r.fail(e)
			}
		}
	}
	for _, section := range append([]string{ini.DefaultSection}, file.Sections()...) {
		r.warnOdd(file, section)
		for _, s := range file.Settings(section) {
			if !strings.Contains(s.Raw, "%(") { // the rest is added during interpolation
				r.secrets.Add(s.Key, s.Raw)
			}
		}
	}
	return file
}
