package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tables are the tables of deliberate differences in the tests that compare with recordings of the
// original packages. The documents contain the same sentences, so that no difference is missing
// there.
var tables = []struct{ file, table, document string }{
	{"pipeline/golden_test.go", "differences", "docs/ini.md"},
	{"filters/browserid/golden_test.go", "differences", "docs/coming-from-pyramid.md"},
	{"filters/retry/golden_test.go", "deliberate", "docs/coming-from-pyramid.md"},
	{"filters/tm/golden_test.go", "deliberate", "docs/coming-from-pyramid.md"},
	{"transaction/golden_differences_test.go", "differences", "docs/coming-from-pyramid.md"},
	{"session/golden_test.go", "differences", "docs/coming-from-pyramid.md"},
	{"server/forwarded_test.go", "differences", "docs/coming-from-pyramid.md"},
}

func TestDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, table := range tables {
		texts := explanations(t, filepath.Join(root, table.file), table.table)
		if len(texts) < 4 {
			t.Errorf("%s: found only %q", table.file, texts)
		}
		document := plain(readDocument(t, table.document).text)
		for _, text := range texts {
			if !strings.Contains(document, plain(text)) {
				t.Errorf("%s lacks a sentence of %s:\n%s", table.document, table.file, text)
			}
		}
	}
}

// plain removes line breaks and Markdown characters from a text.
func plain(s string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("`", "", `\`, "").Replace(s)), " ")
}

// explanations returns the sentences in a table: the string fields of several words.
func explanations(t *testing.T, path, name string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != name {
			return true
		}
		for _, entry := range elements(spec.Values[0]) {
			for _, field := range elements(entry) {
				if text := literal(field); len(strings.Fields(text)) > 3 {
					texts = append(texts, text)
				}
			}
		}
		return false
	})
	return texts
}

// elements returns the values in a composite literal, without their keys.
func elements(e ast.Expr) []ast.Expr {
	composite, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var values []ast.Expr
	for _, element := range composite.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			element = pair.Value
		}
		values = append(values, element)
	}
	return values
}

// literal returns the value of a string literal, also of a concatenation; "" for anything else.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return literal(e.X) + literal(e.Y)
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	}
	return ""
}
