package scaffold

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// Pasteline is the path of the module that projects require.
const Pasteline = "github.com/pasteline/pasteline"

// Config describes the project to write.
type Config struct {
	// Dir is the folder of the project, which may exist. Its name is the name of the project: .ini
	// files use its app as egg:NAME.
	Dir string
	// Module is the path of the Go module. Empty means example.com/NAME.
	Module string
	// Version is the published version of Pasteline to require, such as "v1.2.0".
	Version string
	// Source is a folder with Pasteline's source, used instead of a published version. If both are
	// empty, go.mod explains how to set one.
	Source string
}

//go:embed templates
var templates embed.FS

// files are the files of a project, with their templates.
var files = []source{
	{"main.go.tmpl", "main.go"},
	{"app.go.tmpl", "app.go"},
	{"filter.go.tmpl", "filter.go"},
	{"site_test.go.tmpl", "site_test.go"},
	{"development.ini.tmpl", "development.ini"},
	{"production.ini.tmpl", "production.ini"},
	{"README.md.tmpl", "README.md"},
	{"gitignore.tmpl", ".gitignore"},
	{"layout.html.tmpl", "templates/layout.html"},
	{"home.html.tmpl", "templates/home.html"},
	{"site.css.tmpl", "static/site.css"},
}

// New writes a project and returns the paths of its files, including the folder. After an error,
// which includes the remedy, nothing is left behind.
func New(c Config) ([]string, error) {
	p, err := c.project()
	if err != nil {
		return nil, err
	}
	contents, err := p.contents()
	if err != nil {
		return nil, err
	}
	return writeAll(c.Dir, contents)
}

// A file is the content of a file of a project.
type file struct {
	text string
	mode fs.FileMode
}

// writeAll writes files, by their paths in a folder, and returns the paths including the folder. If
// it fails, it removes everything that it has created.
func writeAll(dir string, contents map[string]file) (written []string, err error) {
	var folders []string
	defer func() {
		if err == nil {
			return
		}
		for _, path := range slices.Concat(written, folders) {
			err = errors.Join(err, os.Remove(path))
		}
		written = nil
	}()
	var there []string
	for name := range contents {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q is no path in the folder", name)
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		slices.Sort(there)
		return nil, fmt.Errorf("%s has %s already, and nothing is overwritten; choose another "+
			"folder", dir, strings.Join(there, ", "))
	}
	names := slices.Sorted(maps.Keys(contents))
	for _, name := range names {
		made, err := makeFolder(filepath.Dir(filepath.Join(dir, name)))
		folders = append(made, folders...)
		if err != nil {
			return written, fmt.Errorf("can't make the folder: %w", err)
		}
		if err := write(filepath.Join(dir, name), contents[name]); err != nil {
			return written, err
		}
		written = append(written, filepath.Join(dir, name))
	}
	return written, nil
}

// makeFolder is os.MkdirAll, and returns the created folders, the innermost first.
func makeFolder(path string) (made []string, err error) {
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		made, err = makeFolder(filepath.Dir(path))
		if err != nil {
			return made, err
		}
	case err != nil:
		return nil, err
	}
	err = os.Mkdir(path, 0o755) //nolint:gosec // a project is no secret
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			return made, nil
		}
	}
	if err != nil {
		return made, err
	}
	return append([]string{path}, made...), nil
}

// write creates a file.
func write(path string, content file) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, content.mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content.text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// A project has the data of the templates.
type project struct {
	Name     string
	Module   string
	Variable string // environment variable with the secret
	Secret   string

	version, source string
}

var (
	noNameCharacters = regexp.MustCompile(`[^a-z0-9]+`)
	modulePattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~-]*(/[A-Za-z0-9_][A-Za-z0-9._~-]*)*$`)
	versionPattern   = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?$`)
)

// project returns the data for the templates.
func (c Config) project() (project, error) {
	full, err := filepath.Abs(c.Dir)
	if err != nil {
		return project{}, err
	}
	base := filepath.Base(full)
	p := project{version: c.Version, source: c.Source}
	p.Name = strings.Trim(noNameCharacters.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if p.Name == "" || c.Dir == "" {
		return p, fmt.Errorf("no name of a project can be made of %q; choose a folder with "+
			"letters in its name, such as guestbook", c.Dir)
	}
	p.Module = cmp.Or(c.Module, "example.com/"+p.Name)
	if !modulePattern.MatchString(p.Module) || p.Module == Pasteline {
		return p, fmt.Errorf("%q can't be the path of a module; want one such as example.com/%s",
			p.Module, p.Name)
	}
	if p.version != "" && !versionPattern.MatchString(p.version) {
		return p, fmt.Errorf("%q is no version of a module; want one such as v1.2.0", p.version)
	}
	p.Variable = strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")) + "_SECRET"
	if p.Variable[0] <= '9' {
		p.Variable = "APP_" + p.Variable
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	p.Secret = hex.EncodeToString(secret)
	return p, nil
}

// contents returns the files by their paths.
func (p project) contents() (map[string]file, error) { return p.execute(templates, files, p) }

// A source is a file with its template.
type source struct{ template, name string }

// execute returns the files of a folder of templates, with go.mod and, if known, go.sum.
func (p project) execute(folder embed.FS, sources []source, data any) (map[string]file, error) {
	all, err := template.New("").Delims("<<", ">>").Funcs(functions).ParseFS(folder, "*/*.tmpl")
	if err != nil {
		return nil, err
	}
	goMod, goSum, err := p.goMod()
	if err != nil {
		return nil, err
	}
	contents := map[string]file{"go.mod": {goMod, 0o644}}
	if goSum != "" {
		contents["go.sum"] = file{goSum, 0o644}
	}
	for _, f := range sources {
		var b bytes.Buffer
		if err := all.ExecuteTemplate(&b, f.template, data); err != nil {
			return nil, err
		}
		text := b.Bytes()
		if filepath.Ext(f.name) == ".go" {
			if text, err = format.Source(text); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		contents[f.name] = file{string(text), 0o644}
	}
	return contents, nil
}

// functions are the functions for templates.
var functions = template.FuncMap{"quote": strconv.Quote}

// goVersion is the Go version of new projects.
const goVersion = "1.26.0"

var requirePattern = regexp.MustCompile(`(?m)^(?:require )?\s*([^\s/]+\.[^\s]+) (v\S+)`)

// goMod returns go.mod and, if known, go.sum.
func (p project) goMod() (mod, sum string, err error) {
	mod = fmt.Sprintf("module %s\n\ngo %s\n\n", p.Module, goVersion)
	switch {
	case p.source != "":
		return p.goModOfSource(mod)
	case p.version != "":
		return mod + fmt.Sprintf("require %s %s\n", Pasteline, p.version), "", nil
	}
	return mod + `// The program that wrote this was built from a working tree, which has no published version.
// Name the folder of the tree, such as ../pasteline:
//
//	go mod edit -replace ` + Pasteline + `=../pasteline && go mod tidy
require ` + Pasteline + " v0.0.0\n", "", nil
}

// goModOfSource copies the requirements of the source, so that the project builds without the
// network.
func (p project) goModOfSource(mod string) (string, string, error) {
	source, err := filepath.Abs(p.source)
	if err != nil {
		return "", "", err
	}
	theirs, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) || err == nil &&
		!bytes.HasPrefix(theirs, []byte("module "+Pasteline+"\n")) {
		return "", "", fmt.Errorf("%s is not the source of %s", p.source, Pasteline)
	}
	if err != nil {
		return "", "", err
	}
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	b.WriteString(mod)
	fmt.Fprintf(&b, "require %s v0.0.0\n\nrequire (\n", Pasteline)
	for _, m := range requirePattern.FindAllStringSubmatch(string(theirs), -1) {
		fmt.Fprintf(&b, "\t%s %s // indirect\n", m[1], m[2])
	}
	b.WriteString(")\n\n// A working tree instead of a published version.\n")
	if strings.ContainsAny(source, " \t'\"`(),") {
		source = fmt.Sprintf("%q", source)
	}
	fmt.Fprintf(&b, "replace %s => %s\n", Pasteline, source)
	return b.String(), string(sum), nil
}

// QuoteForShell quotes a word for a shell, if necessary.
func QuoteForShell(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-_./~+,:=@%", r) &&
			(r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
