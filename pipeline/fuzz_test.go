package pipeline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
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

// Parsing never panics, a fault is at a line that there is, and what was read can be written and read again.
func FuzzParse(f *testing.F) {
	seed(f, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := pipeline.Parse("f.ini", data)
		if err != nil {
			checkLines(t, err, map[string]string{"f.ini": string(data)})
			return
		}
		lines := lineCount(string(data))
		for _, section := range append(file.Sections(), "DEFAULT") {
			for _, s := range file.Settings(section) {
				if s.Line < 1 || s.Line > lines || s.Key == "" {
					t.Errorf("[%s] %s is said to be in line %d of %d", section, s.Key, s.Line, lines)
				}
			}
		}
		again, err := pipeline.Parse("f.ini", []byte(file.String()))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", data, file.String(), err)
		}
		if diff := gocmp.Diff(contents(file), contents(again)); diff != "" {
			t.Errorf("written and read again (-before +after):\n%s", diff)
		}
	})
}

func contents(f *pipeline.File) any {
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

// Interpolation ends, and what it makes is bounded, whatever three values say of each other.
func FuzzInterpolate(f *testing.F) {
	f.Add("%(b)s", "%(c)s", "x")
	f.Add("%(b)s%(b)s%(b)s", "%(c)s%(c)s%(c)s", "%(a)s")
	f.Add("100%%", "%(here)s", "%()s")
	f.Add("%(ENV_HOME)s", "%", "%(unclosed")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		flat := strings.NewReplacer("\n", "\n ", "\r", " ").Replace
		site := "[app:main]\nuse = egg:x\na = " + flat(a) + "\nb = " + flat(b) + "\nc = " + flat(c) + "\n"
		tree, err := pipeline.Resolve("site.ini", pipeline.KindApp, text(nil, map[string]string{"site.ini": site}))
		if err != nil {
			checkLines(t, err, map[string]string{"site.ini": site})
			return
		}
		for s := range tree.Root.LocalConf.All() {
			if len(s.Value) > 1<<20 {
				t.Errorf("%s has become %d bytes", s.Key, len(s.Value))
			}
			if !strings.Contains(s.Raw, "%") && s.Value != s.Raw {
				t.Errorf("%q has become %q", s.Raw, s.Value)
			}
		}
	})
}

// Loading two files that may refer to each other never panics or hangs, and every fault is at a line that there is.
func FuzzLoad(f *testing.F) {
	seed(f, func(data []byte) { f.Add(string(data), "[app:main]\nuse = egg:strict\n", "main") })
	f.Add("[app:main]\nuse = config:other.ini\n", "[app:main]\nuse = config:site.ini\n", "")
	f.Add("[composite:main]\nuse = egg:map\n/ = config:other.ini#x\n", "[composite:x]\nuse = egg:map\na = config:site.ini\nb = x\n", "")
	f.Fuzz(func(t *testing.T, site, other, name string) {
		registry := strictRegistry(t)
		files := map[string]string{"site.ini": site, "other.ini": other}
		opts := text(registry, files)
		opts.Name = name
		for _, kind := range []pipeline.Kind{pipeline.KindApp, pipeline.KindFilter, pipeline.KindServer} {
			if _, err := pipeline.Resolve("site.ini", kind, opts); err != nil {
				checkLines(t, err, files)
			}
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

func checkLines(t *testing.T, err error, files map[string]string) {
	t.Helper()
	var faults pipeline.Errors
	if !errors.As(err, &faults) || len(faults) == 0 {
		t.Fatalf("%v: not of type Errors", err)
	}
	for _, fault := range faults {
		data, ok := files[fault.File]
		if fault.File != "" && fault.Line != 0 && (!ok || fault.Line < 1 || fault.Line > lineCount(data)) {
			t.Errorf("%v: there is no such line", fault)
		}
		if text := fault.Error(); strings.Contains(text, "\n") || fault.Err == nil {
			t.Errorf("%q: not one line that says something", text)
		}
	}
}

func lineCount(data string) int {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
	return strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
}
