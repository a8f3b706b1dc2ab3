package tree_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// from returns options with files that are not on disk.
func from(files map[string]string) tree.Options {
	return tree.Options{ReadFile: func(name string) ([]byte, error) {
		if text, ok := files[filepath.ToSlash(filepath.Clean(name))]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PASTELINE_TEST", "100%(here)s")
	resolved, err := tree.Resolve("site.ini", tree.KindApp, from(map[string]string{
		"site.ini": "[DEFAULT]\nENV_MINE = not the environment's\n[app:main]\nuse = egg:x\na = " +
			"<%(ENV_PASTELINE_TEST)s>\nb = %(ENV_MINE)s\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "<100%(here)s>", "b": "not the environment's"}
	if diff := gocmp.Diff(want, resolved.Root.LocalConf.Map()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A few lines that refer to each other again and again end soon, with an error.
func TestBoundedWork(t *testing.T) {
	t.Parallel()
	doubling := "[app:main]\nuse = egg:x\nv9 = xxxxxxxxxx\n"
	nested := "[filter:f40]\nuse = egg:x\n"
	for i := range 9 {
		doubling += fmt.Sprintf("v%d = %s\n", i, strings.Repeat(fmt.Sprintf("%%(v%d)s", i+1), 50))
	}
	for i := range 40 {
		nested += fmt.Sprintf("[filter:f%d]\nuse = f%d\nfilter-with = f%d\n", i, i+1, i+1)
	}
	doublingSet := "[app:main]\nuse = config:site.ini\nset x = %(x)s%(x)s\n"
	growingSet := "[app:main]\nuse = config:site.ini\nset x = %(x)sa\n"
	chain := "[app:c600]\nuse = egg:x\n"
	for i := range 600 {
		chain += fmt.Sprintf("[app:c%d]\nuse = c%d\n", i, i+1)
	}
	const tooLarge = "configuration too large after expansion"
	tests := []struct{ name, site, uri, want string }{
		{"values that double", doubling, "site.ini", "longer than 1MB"},
		{
			"values that double to nothing", strings.Replace(doubling, "v9 = xxxxxxxxxx", "v9 =", 1),
			"site.ini", tooLarge,
		},
		{
			"sections that double", "[pipeline:main]\npipeline = f0 egg:x\n" + nested, "site.ini",
			tooLarge,
		},
		{"a set that doubles", doublingSet, "site.ini", tooLarge},
		{"a set that grows", growingSet, "site.ini", "more than 500 sections"},
		{"a long chain", chain, "site.ini#c0", "more than 500 sections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := from(map[string]string{"site.ini": tt.site})
			opts.Global = map[string]string{"x": "a"}
			if tt.want == tooLarge {
				opts = opts.WithMaxWork(1 << 16)
			}
			_, err := tree.Resolve(tt.uri, tree.KindApp, opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 100_000 {
				t.Errorf("got %.300v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestResolveKinds(t *testing.T) {
	t.Parallel()
	if _, err := tree.Resolve("site.ini", tree.KindPipeline, from(nil)); err == nil {
		t.Error("a pipeline was asked for by itself")
	}
	_, err := tree.Resolve("nowhere.ini", tree.KindApp, tree.Options{})
	if err == nil || err.Error() != "nowhere.ini: there is no such file" ||
		!errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	resolved, err := tree.Resolve("folder 100%/site.ini#wiki", tree.KindApp,
		from(map[string]string{"folder 100%/site.ini": "[app:wiki]\nuse = egg:x\n"}))
	if err != nil || resolved.Root.Registered || resolved.Root.IsSecret("x") {
		t.Errorf("%v, %v", resolved, err)
	}
}

// A setting of the caller hides one that a section needs.
func TestHiddenFromOutside(t *testing.T) {
	t.Parallel()
	opts := from(map[string]string{"site.ini": "[pipeline:main]\npipeline = egg:x\n"})
	opts.Global = map[string]string{"pipeline": "egg:y"}
	const want = `site.ini:2: [pipeline:main] pipeline = "egg:x": ignored, because it is given ` +
		`from outside; take it out there`
	if _, err := tree.Resolve("site.ini", tree.KindApp, opts); err == nil ||
		err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
