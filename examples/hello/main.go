// Command hello is a small site: an app and a filter, composed by hello.ini.
//
//	go run ./examples/hello examples/hello/hello.ini
package main

import (
	"fmt"
	"html"
	"net/http"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

type settings struct {
	Greeting string `default:"Hello" help:"the greeting"`
}

func register(r *pipeline.Registry) {
	pipeline.App(r, "egg:hello#app", func(_ *pipeline.Build, s settings) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s, %s!\n", s.Greeting, html.EscapeString(r.URL.Path[1:]))
		}), nil
	})
	pipeline.Middleware(r, "egg:hello#nosniff", nosniff)
}

func main() { serve.Main(register) }

func nosniff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
