package pipeline_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
)

// A named is a listener that records which app answered, and which one had the request while it ran.
type named struct{ during, app string }

func (n *named) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context { return ctx }

func (n *named) RequestEnd(_ context.Context, f observe.RequestEnd) { n.app = f.App }

type sessions struct{}

func (sessions) Timeout() time.Duration { return time.Hour }

// OnLoad tells the complete tree, and the name of a routed app is known while it runs.
func TestOnLoad(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	var composed []pipeline.Composed
	seen := &named{}
	pipeline.Composite(registry, "egg:c", func(b *pipeline.Build, s struct{ Left, Right string }) (http.Handler, error) {
		b.OnLoad(func(c pipeline.Composed) { composed = append(composed, c) })
		left, err := b.App(s.Left)
		if err != nil {
			return nil, err
		}
		_, err = b.App(s.Right)
		return left, err
	})
	pipeline.App(registry, "egg:a", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.Observe(seen)
		b.RequireSessions(sessions{})
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
			seen.during = observe.FromContext(r.Context()).Summary().App
		})
		return mux, nil
	})
	file := "[composite:main]\nuse = egg:c\nleft = one\nright = two\n" +
		"[app:one]\nuse = egg:a\n[app:two]\nuse = egg:a\n"
	p, err := pipeline.Load(t.Context(), "site.ini", text(registry, map[string]string{"site.ini": file}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if len(composed) != 1 || composed[0].Tree != p.Tree() || len(composed[0].Sessions) != 2 ||
		len(composed[0].Tree.Root.Children) != 2 {
		t.Errorf("got %+v", composed)
	}
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if seen.during != "one" || seen.app != "one" {
		t.Errorf("got the app %q, and %q while it ran; want one", seen.app, seen.during)
	}

	failing := map[string]string{"site.ini": file + "x = y\n"}
	if _, err := pipeline.Load(t.Context(), "site.ini", text(registry, failing)); err == nil || len(composed) != 1 {
		t.Errorf("after a failed load: %v, %d calls", err, len(composed))
	}
}
