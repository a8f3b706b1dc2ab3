// Package pasteline_test holds the rules that concern the whole tree: a rule that nobody runs is forgotten.
package pasteline_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pasteline/pasteline"

// goFiles parses the tree's Go files, by folder.
func goFiles(t *testing.T) (*token.FileSet, map[string][]*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	folders := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() && path != "." && isModule(path): // bench, whose dependencies are its own
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		folders[folder] = append(folders[folder], file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 10 {
		t.Fatalf("found only %d folders with Go files; is the test run in the module's root?", len(folders))
	}
	return fset, folders
}

// isModule reports whether folder is a module of its own.
func isModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func isTest(fset *token.FileSet, file *ast.File) bool {
	return strings.HasSuffix(fset.File(file.Pos()).Name(), "_test.go")
}

// Every package says in one place what it does, and shows it in an example that runs.
func TestEveryPackageHasDocAndExample(t *testing.T) {
	t.Parallel()
	fset, folders := goFiles(t)
	for folder, files := range folders {
		var docs []string
		examples, code := 0, 0
		for _, file := range files {
			if isTest(fset, file) {
				for _, example := range doc.Examples(file) {
					if example.Output != "" || example.EmptyOutput {
						examples++
					}
				}
				continue
			}
			code++
			if file.Doc != nil {
				docs = append(docs, fset.File(file.Pos()).Name())
				want := "Package " + file.Name.Name + " "
				if file.Name.Name == "main" {
					want = "Command "
				}
				if !strings.HasPrefix(file.Doc.Text(), want) {
					t.Errorf("%s: the package comment should start with %q", folder, want)
				}
			}
		}
		if code == 0 {
			continue
		}
		if len(docs) != 1 {
			t.Errorf("%s: want exactly one file with the package comment, have %d %v", folder, len(docs), docs)
		}
		if examples == 0 && !strings.HasPrefix(folder, "cmd/") && !strings.HasPrefix(folder, "examples/") && folder != "internal/testing/crashtest" {
			t.Errorf("%s: no Example with an // Output: comment", folder)
		}
	}
}

// layers is the import rule of ARCHITECTURE.md: each folder may import those on later lines, and, where the line says so,
// its own kind. (The linter has the same rule; this one also runs where there is only Go, and knows every folder.)
var layers = []struct {
	folder string // a folder, or a folder and all below it
	peers  bool   // may import others of the same line
}{
	{"internal/testing/crashtest", false}, // above all: it is a program for its tests
	{"internal/testing/pgtest", false},    // so that only tests import it, as with the next two
	{"internal/testing/mariadbtest", false},
	{"internal/testing/browsertest", false},
	{"internal/testing/testserver", false},
	{"internal/testing/ptytest", false},
	{"cmd", false},
	{"examples", false},
	{"servetest", false},
	{"serve", false},
	{"docs", false},
	{"internal/command/site", false},
	{"internal/command/watch", false},
	{"internal/command/migrate", false},
	{"internal/command/scaffold", false},
	{"internal/command/logging", false},
	{"internal/command/progress", false},
	{"internal/command/terminal", false},
	{"internal/command/changes", false},
	{"server", false},
	{"apps", false},
	{"filters", false},
	{"internal/picture", false},
	{"internal/command/show", false},
	{"internal/status", false},
	{"internal/request/guard", false},
	{"internal/request/stopping", false},
	{"pipeline", true},
	{"observe/observehttp", false},
	{"internal/request/forwarded", false},
	{"internal/systemd", false},
	{"internal/handover", false},
	{"internal/request/inflight", false},
	{"mount", false},
	{"assets", false},
	{"handler", false},
	{"internal/request/formfiles", false},
	{"internal/request/respbuf", false},
	{"internal/request/replay", false},
	{"internal/request/spill", false},
	{"internal/attempt", false},
	{"internal/request/sent", false},
	{"session", false},
	{"internal/visitor", false},
	{"sqltx", false},
	{"storage", true},
	{"transaction", true},
	{"observe", false},
	{"internal/redact", false},
	{"internal/suggest", false},
	{"internal/version", false},
	{"internal/probe", false},
	{"internal/failpoint", false},
	{"internal/sqltext", false},
}

func layer(folder string) int {
	return slices.IndexFunc(layers, func(l struct {
		folder string
		peers  bool
	},
	) bool {
		return folder == l.folder || strings.HasPrefix(folder, l.folder+"/")
	})
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	fset, folders := goFiles(t)
	used := map[int]bool{}
	for folder, files := range folders {
		from := layer(folder)
		if from < 0 {
			if folder != "." {
				t.Errorf("%s: not in the list of layers; add it where it belongs", folder)
			}
			continue
		}
		used[from] = true
		for _, file := range files {
			if isTest(fset, file) {
				continue
			}
			for _, spec := range file.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				if path == "net/http" && from >= layer("session") {
					t.Errorf("%s imports net/http: sessions, storage and transactions know nothing of http", folder)
				}
				imported, ours := strings.CutPrefix(path, module+"/")
				if !ours {
					continue
				}
				to := layer(imported)
				if to < from || to == from && !layers[from].peers {
					t.Errorf("%s imports %s: imports point down only", fset.Position(spec.Pos()), imported)
				}
			}
		}
	}
	architecture, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		if !used[i] {
			t.Errorf("the list of layers names %s, which is not there", l.folder)
		}
		if !strings.Contains(string(architecture), "`"+l.folder+"/") {
			t.Errorf("ARCHITECTURE.md does not say what %s is for", l.folder)
		}
	}
}

// Programs that import this module ignore its replace directives, so it would behave differently for them.
func TestNoReplaceInGoMod(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*(replace|exclude)\b`).Match(text) {
		t.Error("go.mod has a replace or exclude directive")
	}
}

// The table of promises in the README names the test that proves each; they must be there.
func TestReadmeNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	fset, folders := goFiles(t)
	tests := map[string]bool{}
	for _, files := range folders {
		for _, file := range files {
			if !isTest(fset, file) {
				continue
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					tests[f.Name.Name] = true
				}
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+|Fuzz[A-Za-z0-9_]+)`").FindAllSubmatch(readme, -1)
	if len(named) < 6 {
		t.Errorf("the README names %d tests; want at least one for each of G1 to G6", len(named))
	}
	for _, name := range named {
		if !tests[string(name[1])] {
			t.Errorf("README.md names %s, which is not there", name[1])
		}
	}
}

// Links in the documents lead somewhere.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("*.md")
	if err != nil || len(documents) < 4 {
		t.Fatalf("found %v, %v", documents, err)
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			if _, err := os.Stat(string(link[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", document, link[1])
			}
		}
	}
}
