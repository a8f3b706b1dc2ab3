package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/command/scaffold"
	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Options are the inputs of Read besides the file.
type Options struct {
	// Standard registers the standard set.
	Standard func(*pipeline.Registry)
	// Idle reports whether requests may pass a filter, given the hint of the registry about it, as
	// if the filter were not there.
	Idle func(hint string) bool
	// Global has settings of the command line, as in pipeline.Options. They are added to [DEFAULT]
	// of the copy.
	Global map[string]string
	// Set replaces settings of the file, as in pipeline.Options, and their lines in the copy.
	Set []string
}

// A Plan is the conversion of a file. It is safe for concurrent use once Read has returned.
type Plan struct {
	opts     Options
	registry *pipeline.Registry // the standard set

	files []*file // the first is the one passed to Read
	stays []string
	stubs []*stub
	roots []*tree.Tree // served sections first

	served int             // number of served roots
	notes  []note          // about settings
	works  map[string]bool // sections with a registered factory, by file and name
	extra  []string        // lines added to the first file
	added  []string        // descriptions of the added lines
}

// A file is a file to be copied.
type file struct {
	path   string // as written
	target string // in the project, with slashes
	mode   os.FileMode
	lines  []string
	ending string // line ending
	parsed *tree.File
	edits  map[int]bool // changed lines, from 1
}

// A note is about a line.
type note struct {
	at   tree.Position
	key  string
	text string
}

// Read reads a file and its includes, and plans their conversion. The error has a line for each
// error that has to be corrected by hand first; most are of type [tree.Errors].
func Read(ctx context.Context, config string, o Options) (*Plan, error) {
	p := &Plan{opts: o, works: map[string]bool{}}
	p.registry = p.standard()
	if err := p.collect(config); err != nil {
		return nil, err
	}
	if err := p.complete(); err != nil {
		return nil, err
	}
	if err := p.survey(); err != nil {
		return nil, p.translate(err, "")
	}
	if err := p.settle(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// main returns the file that was passed to Read.
func (p *Plan) main() *file { return p.files[0] }

// standard returns a new registry with the standard set.
func (p *Plan) standard() *pipeline.Registry {
	r := pipeline.NewRegistry()
	p.opts.Standard(r)
	return r
}

// options returns the options for loading the old file.
func (p *Plan) options() pipeline.Options {
	return pipeline.Options{
		Global: p.opts.Global, Set: p.opts.Set, Registry: p.registry,
		RelativeTo: ".",
	}
}

// isApp, isFilter and isServer report the kind of a section by its prefix.
func isApp(section string) bool {
	return hasPrefix(section, "app", "application", "composite", "composit", "pipeline",
		"filter-app")
}
func isFilter(section string) bool { return hasPrefix(section, "filter") }
func isServer(section string) bool { return hasPrefix(section, "server") }

func hasPrefix(section string, prefixes ...string) bool {
	prefix, _, named := strings.Cut(section, ":")
	return named && slices.Contains(prefixes, prefix)
}

func nameOf(section string) string {
	_, name, _ := strings.Cut(section, ":")
	return strings.TrimSpace(name)
}

// collect reads the files and decides which are copied, and where to: all that are included by a
// relative path, keeping their folders relative to each other. A file that is included by an
// absolute path is not copied.
func (p *Plan) collect(config string) error {
	if scheme, rest, ok := strings.Cut(config, ":"); ok && scheme == "config" {
		config = rest
	}
	queue, seen := []string{filepath.Clean(config)}, map[string]bool{}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		if len(seen) > maxFiles {
			return fmt.Errorf("%s includes more than %d files", p.main().path, maxFiles)
		}
		f, err := readFile(path)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && len(p.files) > 0:
			continue // the loader reports it if a served section needs it
		default:
			return err
		}
		p.files = append(p.files, f)
		for _, reference := range f.includes() {
			if filepath.IsAbs(reference) {
				p.stays = append(p.stays, reference)
				continue
			}
			queue = append(queue, filepath.Join(filepath.Dir(path), filepath.FromSlash(reference)))
		}
	}
	slices.Sort(p.stays)
	p.stays = slices.Compact(p.stays)
	return p.assignTargets()
}

// maxFiles is far above the number of files of any site.
const maxFiles = 200

// assignTargets gives each file its path in the project.
func (p *Plan) assignTargets() error {
	full := make([]string, len(p.files))
	common := ""
	for i, f := range p.files {
		var err error
		if full[i], err = filepath.Abs(f.path); err != nil {
			return err
		}
		dir := filepath.Dir(full[i])
		for i > 0 && !isBelow(dir, common) {
			common = filepath.Dir(common)
		}
		if i == 0 {
			common = dir
		}
	}
	for i, f := range p.files {
		target, err := filepath.Rel(common, full[i])
		if err != nil {
			return err
		}
		f.target = filepath.ToSlash(target)
		if strings.ContainsFunc(f.target, func(r rune) bool {
			return r < ' ' || r == 0x7f ||
				r == '#'
		}) {
			return fmt.Errorf("%q is no name that a file of a project may have; rename a copy of "+
				"it", f.path)
		}
	}
	return nil
}

func isBelow(dir, common string) bool {
	rel, err := filepath.Rel(common, dir)
	return err == nil && filepath.IsLocal(rel)
}

// readFile reads a file to be copied.
func readFile(path string) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		// The error of the loader is clearer.
		if _, ours := tree.Resolve(path, tree.KindApp, tree.Options{}); ours != nil {
			return nil, ours
		}
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	parsed, err := tree.Parse(path, text)
	if err != nil {
		return nil, err
	}
	f := &file{
		path: path, mode: info.Mode().Perm() | 0o600, parsed: parsed, ending: "\n",
		edits: map[int]bool{},
	}
	if strings.Contains(string(text), "\r\n") {
		f.ending = "\r\n"
	}
	f.lines = strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text)),
		"\n")
	if last := len(f.lines) - 1; f.lines[last] == "" {
		f.lines = f.lines[:last]
	}
	return f, nil
}

// includes returns the paths of the files that a file refers to.
func (f *file) includes() []string {
	var paths []string
	for _, section := range append([]string{"DEFAULT"}, f.parsed.Sections()...) {
		if section != "DEFAULT" && !isApp(section) && !isFilter(section) && !isServer(section) {
			continue
		}
		for _, s := range f.parsed.Settings(section) {
			for word := range strings.FieldsSeq(s.Raw) {
				path, ok := cutConfig(word)
				if !ok || !refers(section, s.Key) {
					continue
				}
				path, _, _ = strings.Cut(strings.TrimPrefix(path, "%(here)s/"), "#")
				if path != "" && !strings.Contains(path, "%(") {
					paths = append(paths, strings.ReplaceAll(path, `\`, "/"))
				}
			}
		}
	}
	return paths
}

// refers reports whether a setting may name another section. The settings of an app may have any
// text.
func refers(section, key string) bool {
	return slices.Contains([]string{"use", "filter-with", "pipeline", "next"}, key) ||
		hasPrefix(section, "composite", "composit")
}

func cutConfig(word string) (string, bool) {
	if len(word) > len("config:") && strings.EqualFold(word[:len("config:")], "config:") {
		return word[len("config:"):], true
	}
	return "", false
}

// text returns the file as it is written to the project.
func (f *file) text() string { return strings.Join(f.lines, f.ending) + f.ending }

// sections returns the names of the sections for which is returns true.
func (f *file) sections(is func(string) bool) []string {
	return slices.DeleteFunc(f.parsed.Sections(), func(section string) bool { return !is(section) })
}

// span returns the lines of a setting that starts at a line: the first, and the one after the last.
// Deeper indented lines continue it, and so do comments and blank lines between them.
func (f *file) span(line int) (from, to int) {
	from, to = line-1, line
	for i := to; i < len(f.lines); i++ {
		text := strings.TrimSpace(f.lines[i])
		switch {
		case text == "", strings.HasPrefix(text, "#"), strings.HasPrefix(text, ";"):
		case indent(f.lines[i]) > indent(f.lines[from]):
			to = i + 1
		default:
			return from, to
		}
	}
	return from, to
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t\v\f")) }

// mark is the prefix of a line that is no longer a setting.
const mark = "# (migrate) "

// replace comments out the setting at a line, or gives it another key and value.
func (f *file) replace(line int, setting string) bool {
	if line < 1 || line > len(f.lines) || f.edits[line] {
		return false
	}
	from, to := f.span(line)
	for i := from; i < to; i++ {
		f.edits[i+1] = true
		if i == from && setting != "" {
			f.lines[i] = f.lines[i][:indent(f.lines[i])] + setting
		} else {
			f.lines[i] = mark + strings.TrimSpace(f.lines[i])
		}
	}
	return true
}

// fileAt returns the copied file with that path, or nil.
func (p *Plan) fileAt(path string) *file {
	i := slices.IndexFunc(p.files, func(f *file) bool {
		return f.path == path ||
			filepath.Clean(f.path) == filepath.Clean(path)
	})
	if i < 0 {
		return nil
	}
	return p.files[i]
}

// complete adds the missing parts of the first file: settings of the command line, an app and a
// server with the name main.
func (p *Plan) complete() error {
	f := p.main()
	if len(f.sections(isApp)) == 0 {
		return &pipeline.Error{
			File: f.path, Err: errors.New("the file describes no app"),
			Hint: "name a file with a section such as [app:main] or [pipeline:main]",
		}
	}
	var given []string
	for _, key := range sortedKeys(p.opts.Global) {
		if slices.ContainsFunc(f.parsed.Settings("DEFAULT"),
			func(s tree.Setting) bool { return s.Key == key }) {
			return fmt.Errorf("%s=… was given, and [DEFAULT] of %s has that name: change it there",
				redact.Key(key), f.path)
		}
		value := p.opts.Global[key]
		if !keyPattern.MatchString(key) || strings.ContainsAny(value, "\r\n") ||
			strings.TrimSpace(value) != value {
			return fmt.Errorf("%s=… was given, which can't be a line of an .ini file; write it "+
				"in a copy of %s", oneLine(redact.Key(key)), f.path)
		}
		given = append(given, key+" = "+value) // interpolated in both places
		p.guard(key, value)
	}
	for _, assignment := range p.opts.Set {
		if !p.assign(assignment) {
			name, _, _ := strings.Cut(assignment, "=")
			return fmt.Errorf("%s has no line for --set %s=… to replace", f.path, redact.Key(name))
		}
	}
	if len(given) > 0 {
		p.extra = append(append(p.extra, "", mark+"given when the file was migrated",
			"[DEFAULT]"), given...)
		p.added = append(p.added, fmt.Sprintf("[DEFAULT] with %s, as given",
			strings.Join(sortedKeys(p.opts.Global), ", ")))
	}
	if !hasName(f.sections(isServer), "main") {
		p.addServer()
	}
	return nil
}

// keyPattern matches the keys of settings of the command line.
var keyPattern = regexp.MustCompile(`^[\pL_][\pL\pN_.-]*$`)

// guard makes the copy of the first file readable for its owner only, if it gets a secret that the
// old file does not have.
func (p *Plan) guard(key, value string) {
	if redact.IsSecretKey(key) || redact.Value(key, value) != value {
		p.main().mode &= 0o700
		p.added = append(p.added, fmt.Sprintf("a secret, %s: so the copy is for its owner alone",
			shownKey(key)))
	}
}

// assign replaces the line of a setting.
func (p *Plan) assign(assignment string) bool {
	name, value, _ := strings.Cut(assignment, "=")
	f := p.main()
	for _, section := range append([]string{"DEFAULT"}, f.parsed.Sections()...) {
		key, ok := strings.CutPrefix(name, section+".")
		if !ok {
			continue
		}
		for _, s := range f.parsed.Settings(section) {
			if s.Key == key && !strings.Contains(value, "\n") &&
				f.replace(s.Line, key+" = "+strings.ReplaceAll(value, "%", "%%")) {
				p.notes = append(p.notes, note{tree.Position{
					File: f.path, Line: s.Line,
					Section: section,
				}, key, "replaced as given"})
				p.guard(key, value)
				return true
			}
		}
	}
	return false
}

func hasName(sections []string, name string) bool {
	return slices.ContainsFunc(sections,
		func(section string) bool { return nameOf(section) == name })
}

// addServer adds a server, with the port that the file has for the server of another program.
func (p *Plan) addServer() {
	host, port, why := "127.0.0.1", "6543", "the file has none"
	for _, section := range []string{"uwsgi", "DEFAULT"} {
		for _, s := range p.main().parsed.Settings(section) {
			switch {
			case section == "uwsgi" && slices.Contains([]string{"http", "http-socket"}, s.Key):
				if _, number, ok := strings.Cut(s.Raw, ":"); ok && isPort(number) {
					port, why = number, "as [uwsgi] says"
				}
			case section == "DEFAULT" && s.Key == "bind_port" && isPort(s.Raw):
				port, why = s.Raw, "as bind_port of [DEFAULT] says"
			case section == "DEFAULT" && s.Key == "bind_ip":
				if _, err := netip.ParseAddr(s.Raw); err == nil {
					host = s.Raw
				}
			}
		}
	}
	p.extra = append(p.extra, "", mark+"the server", "[server:main]", "use = egg:Paste#http",
		"host = "+host, "port = "+port)
	p.added = append(p.added, fmt.Sprintf("[server:main], which listens on %s: %s",
		net.JoinHostPort(host, port), why))
}

func isPort(text string) bool {
	return len(text) > 0 && len(text) < 6 && strings.Trim(text, "0123456789") == ""
}

// Write writes the project, and returns the paths of its files.
func (p *Plan) Write(c scaffold.Config) ([]string, error) {
	return scaffold.Migrate(c, p.project())
}

// Main returns the path in the project of the file that was passed to Read.
func (p *Plan) Main() string { return p.main().target }
