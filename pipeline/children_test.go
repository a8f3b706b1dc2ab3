package pipeline_test

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/mount"
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
	pipeline.App(r, "egg:told", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.Patterns("POST /told")
		return http.NotFoundHandler(), nil
	})
	pipeline.App(r, "egg:mux", func(*pipeline.Build, struct{}) (http.Handler, error) {
		var inner, outer mount.Mux
		inner.HandleFunc("/page", http.NotFound)
		outer.HandleFunc("GET /muxed/{$}", http.NotFound)
		outer.Mount("/muxed/sub", &inner)
		return &outer, nil
	})
	pipeline.App(r, "egg:servemux", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.NewServeMux(), nil
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
/told = egg:told
/mux = egg:mux
/servemux = egg:servemux
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
		Patterns  []string
	}
	var got []child
	for _, c := range p.Tree().Root.Children {
		got = append(got, child{c.Key, c.Node.Name, c.Node.Patterns})
	}
	want := []child{
		{"/", "app:home", []string{"GET /page"}},
		{"/api", "app:api", []string{"GET /page"}},
		{"/again", "app:home", []string{"GET /page"}},
		{"/told", "egg:told#main", []string{"POST /told"}},
		{"/mux", "egg:mux#main", []string{"GET /muxed/{$}", "/muxed/sub/page"}},
		{"/servemux", "egg:servemux#main", nil},
		{"/inline", "egg:plain#main", nil},
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
