package tree_test

import (
	"testing"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// The words of a composite such as Keystone's, which puts filters in front of an app, name both.
func TestNamedFilter(t *testing.T) {
	t.Parallel()
	const text = `[composite:main]
paste.composite_factory = acme.auth:pipeline_factory
noauth = req home
[filter:req]
use = egg:acme#req
[app:home]
use = egg:acme#home
`
	resolved, err := tree.Resolve("site.ini", tree.KindApp, tree.Options{
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tree.Kind{"req": tree.KindFilter, "home": tree.KindApp} {
		if n := resolved.Named(resolved.Root, name); n == nil || n.Kind != want {
			t.Errorf("Named(%q) = %v, want a node of kind %s", name, n, want)
		}
	}
}
