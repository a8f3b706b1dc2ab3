package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	testFunc = regexp.MustCompile(`^(Test|Fuzz)[A-Z]`)
	goName   = regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w*)(?:\\.([A-Z]\\w*))?")
)

// TestNamesExist verifies that the tests and the exported Go names in the documents exist.
func TestNamesExist(t *testing.T) {
	t.Parallel()
	tests, exported := declared(t)
	for _, d := range documents(t) {
		for _, m := range testName.FindAllStringSubmatch(d.prose(), -1) {
			if !tests[m[1]] {
				t.Errorf("%s: no test %s exists", d.path, m[1])
			}
		}
		for _, m := range goName.FindAllStringSubmatch(d.prose(), -1) {
			names, ours := exported[m[1]]
			name := strings.TrimSuffix(m[2]+"."+m[3], ".")
			if ours && !names[name] {
				t.Errorf("%s: package %s has no %s", d.path, m[1], name)
			}
		}
	}
}

// declared returns the names of all tests, and, by package, the exported names: functions, types,
// values, and, as "Type.Name", methods and fields.
func declared(t *testing.T) (tests map[string]bool, exported map[string]map[string]bool) {
	t.Helper()
	tests, exported = map[string]bool{}, map[string]map[string]bool{}
	packages := map[string][]*ast.File{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && name != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], file)
			return nil
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && testFunc.MatchString(f.Name.Name) {
				tests[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, files := range packages {
		pkg, err := doc.NewFromFiles(fset, files, path)
		if err != nil {
			t.Fatal(err)
		}
		if pkg.Name == "main" {
			continue
		}
		if exported[pkg.Name] == nil {
			exported[pkg.Name] = map[string]bool{}
		}
		add(exported[pkg.Name], pkg)
	}
	return tests, exported
}

func add(names map[string]bool, pkg *doc.Package) {
	values := func(all []*doc.Value) {
		for _, v := range all {
			for _, name := range v.Names {
				names[name] = true
			}
		}
	}
	functions := func(all []*doc.Func, prefix string) {
		for _, f := range all {
			names[prefix+f.Name] = true
		}
	}
	values(pkg.Consts)
	values(pkg.Vars)
	functions(pkg.Funcs, "")
	for _, typ := range pkg.Types {
		names[typ.Name] = true
		values(typ.Consts)
		values(typ.Vars)
		functions(typ.Funcs, "")
		functions(typ.Methods, typ.Name+".")
		ast.Inspect(typ.Decl, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok {
				for _, name := range field.Names {
					names[typ.Name+"."+name.Name] = true
				}
			}
			return true
		})
	}
}
