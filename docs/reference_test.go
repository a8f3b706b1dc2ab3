package docs_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/serve"
)

// The pages below reference/ are generated from the registry: each has the package documentation of
// a factory and the settings of its struct, which "serve help" prints, too.
//
//go:generate go test . -run TestReference -update

var update = flag.Bool("update", false, "write the pages and listings")

func registry() *pipeline.Registry {
	r := pipeline.NewRegistry()
	serve.Standard(r)
	myapp.Register(r)
	return r
}

// TestReference fails if a page is stale, missing, or about a factory that does not exist.
func TestReference(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	index := indexHead
	for _, info := range registry().DescribeAll() {
		page := newPage(t, info)
		want[page.file()] = page.text()
		index += fmt.Sprintf("| %s | [%s](%s) | %s |\n", info.Kind, page.name(), page.file(),
			page.synopsis())
	}
	want["README.md"] = index
	got := map[string]string{}
	paths, err := filepath.Glob("reference/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(path)] = string(data)
	}
	diff := gocmp.Diff(want, got)
	if diff == "" {
		return
	}
	if !*update {
		t.Fatalf("run go generate ./docs (-want +got):\n%s", diff)
	}
	for file := range got {
		if _, ok := want[file]; !ok {
			if err := os.Remove(filepath.Join("reference", file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for file, text := range want {
		if err := os.WriteFile(filepath.Join("reference", file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const indexHead = `# Reference

The filters, apps, composites and servers of the standard set: what ` + "`use =`" + ` in a section of
an ` + "`.ini`" + ` file can name without any Go code. Each page has the settings, their defaults,
and the differences from the Python original. The command prints the same text: ` + "`serve list`" + `
lists the names, ` + "`serve help filter browserid`" + ` shows one of them. [The .ini
format](../ini.md) has the syntax.

Servers: one HTTP server is registered under several names. http has the settings and defaults of
Paste's server, waitress those of Waitress. gunicorn stands for other Python servers: it takes their
host and port, and their other settings have no effect.

| kind | name | purpose |
|---|---|---|
`

// A page is about one factory.
type page struct {
	info tree.FactoryInfo
	pkg  *doc.Package
}

func newPage(t *testing.T, info tree.FactoryInfo) page {
	t.Helper()
	p := page{info: info}
	folder := map[tree.Kind]string{
		tree.KindApp: "apps/", tree.KindComposite: "apps/", tree.KindFilter: "filters/",
		tree.KindServer: "server",
	}[info.Kind]
	if strings.HasSuffix(folder, "/") {
		folder += p.name()
	}
	fset := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s %s: no package %s documents it", info.Kind, info.Name, folder)
	}
	var files []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(path, "_test.go") {
			files = append(files, file)
		}
	}
	p.pkg, err = doc.NewFromFiles(fset, files, module+"/"+folder)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// name returns the entry point, or the distribution if the entry point is a generic word.
func (p page) name() string {
	dist, entryPoint, _ := strings.Cut(strings.TrimPrefix(p.info.Name, "egg:"), "#")
	if entryPoint == "main" || entryPoint == "app" {
		return dist
	}
	return entryPoint
}

func (p page) file() string { return string(p.info.Kind) + "-" + p.name() + ".md" }

// synopsis returns the first sentence of the package documentation, without the package's name.
func (p page) synopsis() string {
	text := strings.TrimPrefix(p.pkg.Synopsis(p.pkg.Doc), "Package "+p.pkg.Name)
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(shorten(text), " "),
		"is "), ".")
}

var kindAgain = regexp.MustCompile(`^ is an? (app|filter) that `)

// shorten removes the kind, which the heading or the column has already.
func shorten(text string) string { return kindAgain.ReplaceAllString(text, " ") }

func (p page) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The %s %s\n\n`use = %s`", p.info.Kind, p.name(), p.info.Name)
	if len(p.info.Aliases) > 0 {
		fmt.Fprintf(&b, ", or under another name: `%s`", strings.Join(p.info.Aliases, "`, `"))
	}
	b.WriteString("\n")
	about, more, _ := strings.Cut(p.documentation(), "\n## ")
	fmt.Fprintf(&b, "\n%s\n## Settings\n\n%s", about, p.settings())
	if more != "" {
		b.WriteString("\n## " + more)
	}
	return b.String()
}

func (p page) settings() string {
	if len(p.info.Settings) == 0 && !p.info.Others {
		return "None.\n"
	}
	var b, idle strings.Builder
	b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
	for _, s := range p.info.Settings {
		if strings.Contains(s.Help, noEffect) {
			fmt.Fprintf(&idle, "| `%s` | %s |\n", s.Key,
				escape(strings.Replace(s.Help, noEffect, "", 1)))
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Key, value(s), standard(s), escape(s.Help))
	}
	if p.info.Others {
		b.WriteString("| any other | | | see below |\n")
	}
	if idle.Len() > 0 {
		fmt.Fprintf(&b, "\nAccepted, so that files of Python need no change, but with no "+
			"effect:\n\n| key | why |\n|---|---|\n%s", idle.String())
	}
	return b.String()
}

// noEffect is in the help of settings that only Python programs use.
const noEffect = "has no effect: "

// value returns the type of a setting, with its limits.
func value(s tree.SettingInfo) string {
	text := s.Type
	switch {
	case len(s.OneOf) > 0:
		text = "`" + strings.Join(s.OneOf, "`, `") + "`"
	case s.Min != "" && s.Max != "":
		text += " from " + s.Min + " to " + s.Max
	case s.Min != "":
		text += " of " + s.Min + " or more"
	case s.Max != "":
		text += " of " + s.Max + " or less"
	}
	if s.Secret {
		text = strings.TrimPrefix(text+", never shown", ", ")
	}
	return escape(text)
}

// standard returns the default of a setting.
func standard(s tree.SettingInfo) string {
	switch {
	case s.Required:
		return "required"
	case s.Default != "":
		return "`" + escape(s.Default) + "`"
	}
	return ""
}

func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(s)
}

// documentation returns the package documentation, with fences around code.
func (p page) documentation() string {
	printer := p.pkg.Printer()
	printer.HeadingLevel = 2
	printer.HeadingID = func(*comment.Heading) string { return "" }
	printer.DocLinkURL = func(link *comment.DocLink) string {
		link.ImportPath = cmp.Or(link.ImportPath, p.pkg.ImportPath)
		return link.DefaultURL("https://pkg.go.dev")
	}
	var b strings.Builder
	for _, part := range p.pkg.Parser().Parse(p.pkg.Doc).Content {
		b.WriteByte('\n')
		if code, ok := part.(*comment.Code); ok {
			fmt.Fprintf(&b, "```%s\n%s```\n", language(code.Text), code.Text)
			continue
		}
		b.Write(bytes.TrimLeft(printer.Markdown(&comment.Doc{Content: []comment.Block{part}}),
			"\n"))
	}
	text := shorten(strings.TrimPrefix(b.String(), "\nPackage "+p.pkg.Name))
	return fmt.Sprintf("The %s %s%s", p.info.Kind, p.name(), text)
}

func language(code string) string {
	if strings.HasPrefix(code, "[") {
		return "ini"
	}
	if _, err := format.Source([]byte(code)); err == nil {
		return "go"
	}
	return "text"
}

// TestReferenceListings verifies that every .ini listing of the reference parses, and that its
// sections have only settings that their factories declare.
func TestReferenceListings(t *testing.T) {
	t.Parallel()
	r := registry()
	listings := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language != "ini" || !strings.HasPrefix(d.path, "docs/reference/") {
				continue
			}
			listings++
			file, err := tree.Parse(fmt.Sprintf("%s:%d", d.path, b.line), []byte(b.text))
			if err != nil {
				t.Error(err)
				continue
			}
			for _, section := range file.Sections() {
				checkSettings(t, r, section, file.Settings(section))
			}
		}
	}
	if listings < 10 {
		t.Errorf("only %d listings", listings)
	}
}

func checkSettings(t *testing.T, r *pipeline.Registry, section string, settings []tree.Setting) {
	t.Helper()
	kind, _, _ := strings.Cut(section, ":")
	var info tree.FactoryInfo
	known := map[string]bool{"use": true}
	for _, s := range settings {
		if s.Key == "use" {
			info, _ = r.Describe(tree.Kind(kind), s.Value)
		}
	}
	for _, s := range info.Settings {
		known[s.Key] = true
	}
	for _, s := range settings {
		if info.Name != "" && !info.Others && !known[s.Key] {
			t.Errorf("%s: [%s] %s: no such setting of %s", s.File, section, s.Key, info.Name)
		}
	}
}
