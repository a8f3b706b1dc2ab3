package migrate_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/internal/command/migrate"
	"github.com/pasteline/pasteline/pipeline"
)

const old = `
[app:main]
use = egg:wiki
filter-with = log

[filter:log]
use = egg:log
`

func Example() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "site.ini")
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	plan, err := migrate.Read(context.Background(), file, migrate.Options{Standard: standard})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range plan.Lines() {
		fmt.Println(line)
	}
	// Output:
	// pipeline.App(r, "egg:wiki", newWikiApp)
}

// standard is what every program has: serve.Standard, in the command.
func standard(r *pipeline.Registry) {
	pipeline.Middleware(r, "egg:log", func(next http.Handler) http.Handler { return next })
	pipeline.ServerFactory(r, "egg:Paste#http", func(*pipeline.Build, struct {
		Host string
		Port int
	},
	) (pipeline.Server, error) {
		return listener{}, nil
	})
}

// A listener is the least that can be a server.
type listener struct{ pipeline.Server }
