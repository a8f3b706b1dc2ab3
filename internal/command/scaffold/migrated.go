package scaffold

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

//go:embed migrated
var migratedTemplates embed.FS

// Migrated is a project for the .ini files of a Python program.
type Migrated struct {
	Ini     []Ini  // the first is the file to serve
	Apps    []Stub // apps and composites
	Filters []Stub
	Lines   []string // of Go, in the function Register
	PassOn  bool     // a line uses passOn, the filter that does nothing
	Veto    bool     // a line uses package tm
	Retry   bool     // a line uses package retry

	Folders   []string // folders of the project that must exist, with slashes
	Variables []string // environment variables that the files use
}

// An Ini is a file of settings.
type Ini struct {
	Path string // in the project, with slashes
	Text string
	Mode fs.FileMode
}

// A Stub is an app or filter that has to be written.
type Stub struct {
	Kind     string   // "app", "composite" or "filter"
	Title    string   // description for a comment, in one line
	Function string   // name of the Go function
	Settings []string // keys for output, one line each
}

var migratedFiles = []source{
	{"main.go.tmpl", "main.go"},
	{"register.go.tmpl", "register.go"},
	{"site_test.go.tmpl", "site_test.go"},
	{"README.md.tmpl", "README.md"},
	{"gitignore.tmpl", ".gitignore"},
}

// Main returns the path of the file to serve.
func (m Migrated) Main() string { return m.Ini[0].Path }

// Command returns the path, quoted for a shell.
func (m Migrated) Command() string { return QuoteForShell(m.Main()) }

// Migrate writes a project for the files of a Python program, as New writes one without.
func Migrate(c Config, m Migrated) ([]string, error) {
	p, err := c.project()
	if err != nil {
		return nil, err
	}
	sources := slices.Clone(migratedFiles)
	if len(m.Apps) > 0 {
		sources = append(sources, source{"apps.go.tmpl", "apps.go"})
	}
	if len(m.Filters) > 0 {
		sources = append(sources, source{"filters.go.tmpl", "filters.go"})
	}
	if len(m.Apps)+len(m.Filters) > 0 || m.PassOn {
		sources = append(sources, source{"stub.go.tmpl", "stub.go"})
	}
	contents, err := p.execute(migratedTemplates, sources, struct {
		project
		Migrated
	}{p, m})
	if err != nil {
		return nil, err
	}
	for _, ini := range m.Ini {
		if _, ok := contents[ini.Path]; ok {
			return nil, fmt.Errorf("the project has a file %s of its own; rename yours", ini.Path)
		}
		contents[ini.Path] = file{ini.Text, ini.Mode}
	}
	for _, folder := range m.Folders {
		contents[path.Join(folder, ".gitkeep")] = file{"", 0o644}
	}
	return writeAll(c.Dir, contents)
}
