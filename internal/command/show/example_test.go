package show_test

import (
	"fmt"
	"net/http"
	"os"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

const file = `
[DEFAULT]
debug = true

[app:wiki]
use = egg:wiki
database = postgres://wiki:hunter2@db/wiki

[filter:login]
use = egg:login
secret_key = hunter2-hunter2
timeout = 30

[pipeline:main]
pipeline = login egg:gzip wiki
`

func Example() {
	registry := pipeline.NewRegistry()
	type settings struct {
		SecretKey pipeline.Secret
		Timeout   int
	}
	pipeline.Filter(registry, "egg:login", func(*pipeline.Build, settings) (func(http.Handler) http.Handler, error) {
		return nil, nil
	})
	resolved, err := tree.Resolve("site.ini", tree.KindApp, tree.Options{
		Catalog:  registry,
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := show.New(resolved, show.Options{Registry: registry}).Text(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// pipeline [pipeline:main]                               site.ini:14
	//   global debug = true                                  site.ini:3 [DEFAULT]
	//   filter [filter:login] use = egg:login#main           site.ini:9
	//     secret_key = ***                                   site.ini:11
	//     timeout = 30                                       site.ini:12
	//   filter egg:gzip#main (not registered)                site.ini:15
	//   app [app:wiki] use = egg:wiki#main (not registered)  site.ini:5
	//     database = postgres://***@db/wiki                  site.ini:7
}
