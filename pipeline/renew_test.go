package pipeline_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
)

// counted registers an app with a database, which is counted as it is opened.
func counted(r *pipeline.Registry, opened *int) *pipeline.Registry {
	r.Engine("counted", func(context.Context, *url.URL) (engine.Engine, error) {
		*opened++
		return memory.New("x").Engine(), nil
	})
	pipeline.App(r, "egg:counted", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		_, err := b.Storage("counted://x")
		return http.NotFoundHandler(), err
	})
	return r
}

// A database is handed on from one load to the next, as long as one of them has
// it open.
func TestRenewedRegistrySharesDatabases(t *testing.T) {
	t.Parallel()
	opened := 0
	files := map[string]string{"site.ini": "[app:main]\nuse = egg:counted\n"}
	registry := counted(pipeline.NewRegistry(), &opened)
	load := func() *pipeline.Pipeline {
		t.Helper()
		p, err := pipeline.Load(t.Context(), "site.ini", text(registry, files))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := load()
	for range 3 {
		registry = counted(registry.Renew(), &opened)
		next := load()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		p = next
	}
	if err := p.Close(); err != nil || opened != 1 {
		t.Errorf("opened %d times, %v; want once", opened, err)
	}
	if err := load().Close(); err != nil || opened != 2 {
		t.Errorf("opened %d times, %v; want 2: the first had been closed", opened, err)
	}
}

// ReadFile of the options is asked for everything that a load depends on, also when that is not
// there.
func TestReadFileIsAskedForAll(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	type settings struct {
		Secret string `required:"true"`
	}
	pipeline.App(r, "egg:reads", func(b *pipeline.Build, s settings) (http.Handler, error) {
		_, err := b.ReadFile(s.Secret)
		return http.NotFoundHandler(), err
	})
	files := map[string]string{
		"site.ini":  "[app:main]\nuse = config:other.ini\n[app:missing]\nuse = config:nowhere.ini\n",
		"other.ini": "[app:main]\nuse = egg:reads\nsecret = the-secret\n",
	}
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"main", []string{"site.ini", "other.ini", "the-secret"}},
		{"missing", []string{"site.ini", "nowhere.ini"}},
	} {
		options := text(r, files)
		var asked []string
		options.ReadFile = func(name string) ([]byte, error) {
			asked = append(asked, name)
			return text(r, files).ReadFile(name)
		}
		options.Name = tt.name
		if _, err := pipeline.Load(t.Context(), "site.ini", options); !errors.Is(err,
			os.ErrNotExist) {
			t.Errorf("%s: got %v, want a file that is not there", tt.name, err)
		}
		if !slices.Equal(asked, tt.want) {
			t.Errorf("%s: asked for %q, want %q", tt.name, asked, tt.want)
		}
	}
}
