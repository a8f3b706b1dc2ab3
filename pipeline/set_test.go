package pipeline_test

import (
	"net/http"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
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
			opts := text(nil, map[string]string{"site.ini": settable})
			opts.Name, opts.Set = tt.section, tt.set
			tree, err := pipeline.Resolve("site.ini", pipeline.KindApp, opts)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := tree.Root.LocalConf.Get(tt.key)
			if !ok || got.Value != tt.want || got.Line != 0 {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

// The global conf is set where the file has it.
func TestSetDefault(t *testing.T) {
	t.Parallel()
	opts := text(nil, map[string]string{"site.ini": settable})
	opts.Set = []string{"DEFAULT.title=other"}
	tree, err := pipeline.Resolve("site.ini", pipeline.KindApp, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := tree.Root.GlobalConf.Get("title"); got.Value != "other" {
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
		opts := text(nil, map[string]string{"site.ini": settable})
		opts.Set = []string{tt.set}
		if _, err := pipeline.Resolve("site.ini", pipeline.KindApp, opts); err == nil ||
			err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.set, err, tt.want)
		}
	}
}

// The warning about a line that does not count ends with the value that applies.
func TestShadowedSaysWhatApplies(t *testing.T) {
	t.Parallel()
	type settings struct {
		Port  int             `default:"8080"`
		Host  string          `help:"here if not given"`
		Color string          `default:"red"`
		Token pipeline.Secret `default:"x"`
	}
	r := pipeline.NewRegistry()
	pipeline.App(r, "egg:x", func(*pipeline.Build, settings) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	opts := text(r, map[string]string{
		"site.ini": `[DEFAULT]
host = there
color = blue
token = abc
[app:main]
use = config:base.ini
port = 1
host = here
color = blue
token = def
`,
		"base.ini": "[app:main]\nuse = egg:x\ncolor = green\ntoken = ghi\n",
	})
	opts.Global = map[string]string{"port": "2"}
	tree, err := pipeline.Resolve("site.ini", pipeline.KindApp, opts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range tree.Warnings {
		got = append(got, w.String())
	}
	want := []string{
		`base.ini:3: [app:main] color: ignored, because [DEFAULT] (site.ini:3) has it too; take ` +
			`it out there; the default applies, red`,
		`base.ini:4: [app:main] token: ignored, because [DEFAULT] (site.ini:4) has it too; take ` +
			`it out there; the default applies`,
		`site.ini:7: [app:main] port: ignored, because it is given from outside; write --set ` +
			`app:main.port=… to replace this line; the default applies, 8080`,
		`site.ini:8: [app:main] host: ignored, because [DEFAULT] (site.ini:2) has it too; take ` +
			`it out there; the default applies (here if not given)`,
		`site.ini:9: [app:main] color: ignored, because [DEFAULT] (site.ini:3) has it too; take ` +
			`it out there; the default applies, red`,
		`site.ini:10: [app:main] token: ignored, because [DEFAULT] (site.ini:4) has it too; take ` +
			`it out there; the default applies`,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
