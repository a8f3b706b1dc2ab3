package pipeline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// seed adds the recorded files, and ours.
func seed(f *testing.F, add func(data []byte)) {
	f.Helper()
	for _, pattern := range []string{"testdata/*.ini", "testdata/pastedeploy/*.ini"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			add(data)
		}
	}
}

// Parsing never panics, every error names a line of the file, and a parsed file can be written and
// read again.
func FuzzParse(f *testing.F) {
	seed(f, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := tree.Parse("f.ini", data)
		if err != nil {
			checkLines(t, err, map[string]string{"f.ini": string(data)})
			return
		}
		lines := lineCount(string(data))
		for _, section := range append(file.Sections(), "DEFAULT") {
			for _, s := range file.Settings(section) {
				if s.Line < 1 || s.Line > lines || s.Key == "" {
					t.Errorf("[%s] %s is said to be in line %d of %d", section, s.Key,
						s.Line, lines)
				}
			}
		}
		again, err := tree.Parse("f.ini", []byte(file.String()))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", data, file.String(), err)
		}
		if diff := gocmp.Diff(contents(file), contents(again)); diff != "" {
			t.Errorf("written and read again (-before +after):\n%s", diff)
		}
	})
}

func contents(f *tree.File) any {
	type setting struct{ Section, Key, Raw string }
	var all []setting
	for _, section := range append([]string{"DEFAULT"}, f.Sections()...) {
		all = append(all, setting{Section: section})
		for _, s := range f.Settings(section) {
			all = append(all, setting{section, s.Key, s.Raw})
		}
	}
	return all
}

// Interpolation ends, and its result is bounded, however three values refer to each other.
func FuzzInterpolate(f *testing.F) {
	f.Add("%(b)s", "%(c)s", "x")
	f.Add("%(b)s%(b)s%(b)s", "%(c)s%(c)s%(c)s", "%(a)s")
	f.Add("100%%", "%(here)s", "%()s")
	f.Add("%(ENV_HOME)s", "%", "%(unclosed")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		flat := strings.NewReplacer("\n", "\n ", "\r", " ").Replace
		site := "[app:main]\nuse = egg:x\na = " + flat(a) + "\nb = " + flat(b) + "\nc = " +
			flat(c) + "\n"
		resolved, err := tree.Resolve("site.ini", tree.KindApp,
			text(nil, map[string]string{"site.ini": site}).Tree())
		if err != nil {
			checkLines(t, err, map[string]string{"site.ini": site})
			return
		}
		for s := range resolved.Root.LocalConf.All() {
			if len(s.Value) > 1<<20 {
				t.Errorf("%s has become %d bytes", s.Key, len(s.Value))
			}
			if !strings.Contains(s.Raw, "%") && s.Value != s.Raw {
				t.Errorf("%q has become %q", s.Raw, s.Value)
			}
		}
	})
}

// Loading files that may refer to each other never panics or hangs. Every error and every
// warning names a line of the file, and every setting has the line where it is written.
func FuzzLoad(f *testing.F) {
	seed(f, func(data []byte) {
		f.Add(string(data), "[app:main]\nuse = egg:strict\n",
			"main", "g")
	})
	f.Add("[app:main]\nuse = config:sub/other.ini\n",
		"[app:main]\nuse = config:../site.ini\n", "", "")
	f.Add("[composite:main]\nuse = egg:map\n/ = config:sub/other.ini#x\n",
		"[composite:x]\nuse = egg:map\na = config:../site.ini\nb = x\n", "", "%(here)s")
	f.Add("[app:main]\nuse = config:sub%%2Fother.ini#a\nset x = %(x)s\nget y = here\n",
		"[DEFAULT]\nx = 1\n[app:a]\nuse = call:m:f\nx = 2\n", "", "50%%")
	f.Add("[filter-app:main]\nuse = config:sub/other.ini\nnext = x\n[app:x]\nuse = "+
		"egg:wiki\nfilter-with = y\n[filter:y]\nuse = egg:strict\npassword = 12345678\n",
		"[filter:main]\npaste.filter_factory = m:f\nrequire = "+
			"Paste\n[server:main]\npaste.server_runner = m:f\n", "", "")
	f.Fuzz(func(t *testing.T, site, other, name, global string) {
		files := map[string]string{"site.ini": site, "sub/other.ini": other}
		opts := text(strictRegistry(t), files)
		opts.Name = name
		opts.Global = map[string]string{"x": global}
		for _, kind := range []tree.Kind{
			tree.KindApp, tree.KindFilter,
			tree.KindServer,
		} {
			resolved, err := tree.Resolve("site.ini", kind, opts.Tree())
			if err != nil {
				checkLines(t, err, files)
				continue
			}
			for _, w := range resolved.Warnings() {
				checkLine(t, w.String(), w.File, w.Line, files)
			}
			checkSources(t, resolved.Root, files)
		}
		p, err := pipeline.Load(context.Background(), "site.ini", opts)
		if err != nil {
			checkLines(t, err, files)
			return
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// checkSources checks that every setting of a tree stands where it says.
func checkSources(t *testing.T, n *tree.Node, files map[string]string) {
	t.Helper()
	if n == nil {
		return
	}
	checkLine(t, n.Name, n.Source.File, n.Source.Line, files)
	for _, conf := range []*tree.Conf{n.GlobalConf, n.LocalConf} {
		for s := range conf.All() {
			if s.Line == 0 {
				continue // from outside, or here and __file__
			}
			checkLine(t, s.Key, s.File, s.Line, files)
			if line := strings.TrimFunc(lines(files[s.File])[s.Line-1],
				isPythonSpace); !strings.HasPrefix(line, s.Written) {
				t.Errorf("%s is said to stand as %q in %q, line %d of %s", s.Key, s.Written, line,
					s.Line, s.File)
			}
		}
	}
	for _, part := range append([]*tree.Node{n.App, n.Filter, n.Next}, n.Filters...) {
		checkSources(t, part, files)
	}
}

// isPythonSpace reports whether Python's str.strip removes r.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func checkLines(t *testing.T, err error, files map[string]string) {
	t.Helper()
	var errs tree.Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("%v: not of type Errors", err)
	}
	for _, e := range errs {
		if !errors.Is(e, os.ErrNotExist) || e.Line != 0 {
			checkLine(t, e.Error(), e.File, e.Line, files)
		}
		if text := e.Error(); strings.Contains(text, "\n") || e.Err == nil {
			t.Errorf("%q: not one line that says something", text)
		}
	}
}

// checkLine checks that a message is about a line that exists. It may be about a whole file, or about
// a setting given from outside.
func checkLine(t *testing.T, what, file string, line int, files map[string]string) {
	t.Helper()
	data, ok := files[file]
	if file == "" && line == 0 {
		return
	}
	if !ok || line < 0 || line > lineCount(data) {
		t.Errorf("%q: there is no line %d of %q", what, line, file)
	}
}

func lineCount(data string) int { return len(lines(data)) }

func lines(data string) []string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
