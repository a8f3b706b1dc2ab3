package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pasteline/pasteline/apps/echo"
	"github.com/pasteline/pasteline/apps/metrics"
	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/pipeline"
)

// A site whose requests are counted.
func Example() {
	const ini = `
[composite:main]
use = egg:Paste#urlmap
/ = echo
/metrics = egg:pasteline#metrics

[app:echo]
use = egg:pasteline#echo
`
	registry := pipeline.NewRegistry()
	metrics.Register(registry)
	urlmap.Register(registry)
	echo.Register(registry)
	site, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer site.Close()
	get := func(path string) string {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		r.RemoteAddr = "127.0.0.1:40000"
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		return w.Body.String()
	}
	get("/hello")
	get("/world")
	for line := range strings.Lines(get("/metrics")) {
		if strings.HasPrefix(line, "pasteline_http_requests_total{") {
			fmt.Print(line)
		}
	}
	// Output:
	// pasteline_http_requests_total{app="echo",method="GET",outcome="none",route="none",status="200"} 2
}
