package storage_test

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
)

// Intercept is called once for each database, and its engine is shared as the real one would be.
func TestIntercept(t *testing.T) {
	t.Parallel()
	o := newOpener()
	var seen []string
	o.Intercept(func(ctx context.Context, uri *url.URL, open engine.OpenFunc) (engine.Engine, error) {
		seen = append(seen, uri.Scheme)
		if uri.Scheme == "bolt" {
			return memory.New("instead").Engine(), nil
		}
		return open(ctx, uri)
	})
	file := filepath.Join(t.TempDir(), "data.db")
	uri := (&url.URL{Scheme: "bolt", Path: file}).String()
	put(t, mustOpen(t, o, uri), "k", "v")
	if got := get(t, mustOpen(t, o, uri), "k"); got != "v" {
		t.Errorf("the second to open it got %q", got)
	}
	put(t, mustOpen(t, o, "memory://m"), "k", "v")
	if len(seen) != 2 || seen[0] != "bolt" || seen[1] != "memory" {
		t.Errorf("saw %q", seen)
	}
	if found, err := filepath.Glob(file); err != nil || len(found) > 0 {
		t.Errorf("the file was made: %q, %v", found, err)
	}
}
