package health_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/apps/health"
	"github.com/pasteline/pasteline/pipeline"
)

// A load balancer asks whether a process is ready.
func Example() {
	registry := pipeline.NewRegistry()
	health.Register(registry)
	app, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) {
			return []byte("[app:main]\nuse = egg:pasteline#health\n"), nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 OK
}
