package pipeline_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

func optionsFor(r *pipeline.Registry, files map[string]string) pipeline.Options {
	return pipeline.Options{
		Registry: r,
		ReadFile: func(name string) ([]byte, error) { return []byte(files[name]), nil },
	}
}

// A setting from outside is used if a file has one of that name or refers to it, or if a factory
// asks for it.
func TestUses(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	pipeline.App(r, "egg:a", func(b *pipeline.Build, _ struct{ Key string }) (http.Handler, error) {
		b.Global("asked")
		b.Debug()
		return http.NotFoundHandler(), nil
	})
	pipeline.App(r, "egg:all", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.GlobalConf()
		return http.NotFoundHandler(), nil
	})
	opts := optionsFor(r, map[string]string{"site.ini": `[DEFAULT]
port = 1
[app:main]
use = config:other.ini
[app:x]
key = %(other)s
`, "other.ini": "[app:main]\nuse = egg:a\nget key = got\n[app:all]\nuse = egg:all\n"})
	opts.Global = map[string]string{"got": "1", "none": "2"}
	p, err := pipeline.Load(t.Context(), "site.ini", opts)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"got": true, "port": true, "key": true, "other": true,
		"asked": true, "debug": true, "none": false, "prt": false,
	} {
		if got := p.Tree().Uses(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if near, ok := p.Tree().Similar("prt"); !ok || near != "port" {
		t.Errorf("got %q", near)
	}
	if p, err = pipeline.Load(t.Context(), "other.ini#all", opts); err != nil {
		t.Fatal(err)
	}
	if !p.Tree().Uses("none") {
		t.Error("a factory that takes the whole global conf uses all of it")
	}
}

// The error about a name of another program has the hint that the registry has for it.
func TestInstead(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	r.Instead(tree.KindFilter, "egg:Old.Dist#*", "delete it")
	r.Instead(tree.KindFilter, "egg:old-dist#special", "write another")
	r.Instead(tree.KindFilter, "call:old:make", "leave it out")
	r.Instead(tree.KindFilter, "egg:Taken#*", "never said")
	pipeline.Middleware(r, "egg:taken#main", func(h http.Handler) http.Handler { return h })
	pipeline.App(r, "egg:a", func(*pipeline.Build,
		struct{},
	) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	for filter, want := range map[string]string{
		"egg:Old-Dist#any":     "egg:Old-Dist#any is for programs in Python; delete it",
		"egg:old_dist#special": "is for programs in Python; write another",
		"call:old:make":        "is for programs in Python; leave it out",
		"egg:taken":            "",
		"egg:other": `no filter of that name is registered; a program of your own ` +
			`registers it: pipeline.Filter(r, "egg:other", …) in a function that serve.Main is ` +
			`given; registered as filter: egg:taken#main`,
	} {
		_, err := pipeline.Load(t.Context(), "site.ini",
			optionsFor(r, map[string]string{"site.ini": "[app:main]\nuse = egg:a\nfilter-with = " +
				"f\n[filter:f]\nuse = " + filter}))
		switch {
		case want == "":
			if err != nil {
				t.Errorf("%s: %v", filter, err)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: got %v, want %s", filter, err, want)
		}
	}
}
