package myapp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// The tutorial's site in a test: no file, no port, and a database in memory.
func Example() {
	const site = `
[app:myapp]
use = egg:myapp#app
zodb_uri = memory://example

[pipeline:main]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm myapp

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 0bd5bf0fdd0b1a5c8d0e6e4be2e3a4d2
`
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	myapp.Register(registry)
	p, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return []byte(site), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	cookie := ""
	for range 3 {
		r := httptest.NewRequest(http.MethodPost, "/incr", http.NoBody)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
		for _, c := range w.Result().Cookies() {
			cookie = c.Name + "=" + c.Value
		}
	}
	// Output:
	// 200 1
	// 200 2
	// 200 3
}
