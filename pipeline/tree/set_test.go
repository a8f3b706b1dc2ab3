package tree_test

import (
	"testing"

	"github.com/pasteline/pasteline/pipeline/tree"
)

const settable = `
[DEFAULT]
title = of all
[app:main]
use = egg:x
title = hidden
[app:a]
use = main
size = 1
[app:a.b]
use = egg:x
`

func TestSet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, section string
		set           []string
		key, want     string
	}{
		{"replaces", "a", []string{"app:a.size=2"}, "size", "2"},
		{"the last one counts", "a", []string{"app:a.size=2", "app:a.size=3"}, "size", "3"},
		{"adds", "a", []string{"app:a.color=red"}, "color", "red"},
		{"wins over DEFAULT", "main", []string{"app:main.title=shown"}, "title", "shown"},
		{"in what another section uses", "a", []string{"app:main.title=shown"}, "title", "shown"},
		{"the longest section", "a.b", []string{"app:a.b.c=d=e"}, "c", "d=e"},
		{
			"a literal", "main",
			[]string{"app:main.pattern=%(title)s 100%"},
			"pattern",
			"%(title)s 100%",
		},
		{"nothing", "a", []string{"app:a.size="}, "size", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := from(map[string]string{"site.ini": settable})
			opts.Name, opts.Set = tt.section, tt.set
			resolved, err := tree.Resolve("site.ini", tree.KindApp, opts)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := resolved.Root.LocalConf.Get(tt.key)
			if !ok || got.Value != tt.want || got.Line != 0 {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

// The global conf is set where the file has it.
func TestSetDefault(t *testing.T) {
	t.Parallel()
	opts := from(map[string]string{"site.ini": settable})
	opts.Set = []string{"DEFAULT.title=other"}
	resolved, err := tree.Resolve("site.ini", tree.KindApp, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := resolved.Root.GlobalConf.Get("title"); got.Value != "other" {
		t.Errorf("got %+v", got)
	}
}

func TestSetNothing(t *testing.T) {
	t.Parallel()
	tests := []struct{ set, want string }{
		{
			"app:b.size=1",
			`site.ini: app:b.size: the file has no section [app:b]; did you mean "app:a"?`,
		},
		{"size=1", `site.ini: size: can't be set from outside; want section.key=value, such as ` +
			`server:main.port=80`},
		{"app:a.size", `site.ini: app:a.size: can't be set from outside; want section.key=value, ` +
			`such as server:main.port=80`},
		{"app:a.=1", `site.ini: app:a.: the file has no section [app:a]; did you mean "app:a.b"?`},
	}
	for _, tt := range tests {
		opts := from(map[string]string{"site.ini": settable})
		opts.Set = []string{tt.set}
		if _, err := tree.Resolve("site.ini", tree.KindApp, opts); err == nil ||
			err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.set, err, tt.want)
		}
	}
}
