package pipeline_test

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// siteRegistry has a composite, an app that is a router, one that hides its router, and one
// without.
func siteRegistry(t *testing.T) *pipeline.Registry {
	t.Helper()
	r := pipeline.NewRegistry()
	type children struct {
		Apps []tree.Setting `ini:"*"`
	}
	pipeline.Composite(r, "egg:map", func(b *pipeline.Build, s children) (http.Handler, error) {
		for _, app := range s.Apps {
			if _, err := b.App(app.Value); err != nil {
				return nil, err
			}
		}
		return http.NotFoundHandler(), nil
	})
	router := func() chi.Router {
		r := chi.NewRouter()
		r.Get("/page", http.NotFound)
		return r
	}
	pipeline.App(r, "egg:router",
		func(*pipeline.Build, struct{}) (http.Handler, error) { return router(), nil })
	pipeline.App(r, "egg:wrapped", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		r := router()
		b.Routes(r)
		return http.StripPrefix("/v1", r), nil
	})
	pipeline.App(r, "egg:plain", func(*pipeline.Build,
		struct{},
	) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	return r
}

const siteFile = `
[composite:main]
use = egg:map
/ = home
/api = api
/again = home
/inline = egg:plain

[app:home]
use = egg:router

[app:api]
use = egg:wrapped
`

func readSite(string) ([]byte, error) { return []byte(siteFile), nil }

func TestChildrenAndRoutes(t *testing.T) {
	t.Parallel()
	p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: siteRegistry(t),
		ReadFile: readSite,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	type child struct {
		Key, Name string
		Routes    int
	}
	var got []child
	for _, c := range p.Tree().Root.Children {
		routes := -1
		if r := c.Node.Routes; r != nil {
			routes = len(r.Routes())
		}
		got = append(got, child{c.Key, c.Node.Name, routes})
	}
	want := []child{
		{"/", "app:home", 1},
		{"/api", "app:api", 1},
		{"/again", "app:home", 1},
		{"/inline", "egg:plain#main", -1},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("children (-want +got):\n%s", diff)
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	resolved, err := tree.Resolve("site.ini", tree.KindApp,
		tree.Options{ReadFile: readSite})
	if err != nil {
		t.Fatal(err)
	}
	root := resolved.Root
	for name, want := range map[string]string{
		"home": "app:home", "api": "app:api", "egg:plain": "egg:plain#main",
		"main": "", "nowhere": "", "ftp:x": "", "call:malformed": "",
	} {
		got := ""
		if n := resolved.Named(root, name); n != nil {
			got = n.Name
		}
		if got != want {
			t.Errorf("Named(%q) = %q, want %q", name, got, want)
		}
	}
	if len(resolved.Warnings()) != 0 {
		t.Errorf("warnings: %v", resolved.Warnings())
	}
}
