package pipeline_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// An app with one setting, loaded from a text that stands for a file.
func Example() {
	registry := pipeline.NewRegistry()
	type settings struct {
		Greeting string `default:"hello" help:"The word that every visitor gets."`
	}
	pipeline.App(registry, "egg:hello", func(_ *pipeline.Build, s settings) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, s.Greeting)
		}), nil
	})

	site := []byte(`
[app:main]
use = egg:hello
greeting = good morning
`)
	p, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return site, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Print(w.Body)
	// Output:
	// good morning
}

// All errs of a file are reported at once.
func ExampleLoad_errors() {
	registry := pipeline.NewRegistry()
	type settings struct {
		Tries int `default:"3" min:"1"`
	}
	pipeline.Filter(registry, "egg:again",
		func(*pipeline.Build, settings) (func(http.Handler) http.Handler, error) {
			return func(next http.Handler) http.Handler { return next }, nil
		})

	site := []byte(`[pipeline:main]
pipeline = agan hello

[filter:again]
use = egg:again
tries = thre

[filter-app:hello]
use = again
next = egg:hello
`)
	_, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return site, nil },
	})
	fmt.Println(err)

	// Output:
	// site.ini:2: [pipeline:main] pipeline: no filter "agan"; did you mean "again" (site.ini:4)?
	// site.ini:6: [filter:again] tries = "thre": want a whole number of 1 or more, such as 3
	// site.ini:10: [filter-app:hello] next = "egg:hello": no app of that name is registered; a program of your own registers it: pipeline.App(r, "egg:hello", …) in a function that serve.Main is given
}

// Resolve needs no registry: it shows the tree of a file, and the source of each setting.
func ExampleResolve() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "site.ini")
	text := `[DEFAULT]
greeting = hello

[pipeline:main]
pipeline = egg:gzip wiki

[app:wiki]
use = egg:wiki#app
title = %(greeting)s, world
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	resolved, err := tree.Resolve(path, tree.KindApp, tree.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resolved.Root.Kind, resolved.Root.Name)
	for _, filter := range resolved.Root.Filters {
		fmt.Println(filter.Kind, filter.Factory)
	}
	app := resolved.Root.App
	fmt.Println(app.Kind, app.Name, app.Factory)
	for setting := range app.LocalConf.All() {
		fmt.Printf("%s = %q, from line %d of [%s]\n", setting.Key, setting.Value, setting.Line,
			setting.Section)
	}
	// Output:
	// pipeline pipeline:main
	// filter egg:gzip#main
	// app app:wiki egg:wiki#app
	// title = "hello, world", from line 9 of [app:wiki]
}
