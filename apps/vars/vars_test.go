package vars_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/apps/vars"
	"github.com/pasteline/pasteline/pipeline"
)

func TestVars(t *testing.T) {
	t.Parallel()
	expvar.NewString(`of "the" test`).Set("1")
	registry := pipeline.NewRegistry()
	vars.Register(registry)
	p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte,
			error,
		) {
			return []byte("[app:main]\nuse = egg:pasteline#vars\n"), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, w.Body)
	}
	if got[`of "the" test`] != "1" || got["memstats"] == nil {
		t.Errorf("got %v", got)
	}
	if _, there := got["cmdline"]; there {
		t.Error("the command line, which may contain secrets, is published")
	}
	w = httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", w.Code)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func Example() {
	w := httptest.NewRecorder()
	vars.New().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var metrics struct {
		Memory struct{ NumGC *int } `json:"memstats"`
	}
	err := json.Unmarshal(w.Body.Bytes(), &metrics)
	fmt.Println(err, metrics.Memory.NumGC != nil)
	// Output: <nil> true
}
