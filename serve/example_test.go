package serve_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// A program of one's own is a register function and one call. Here it is Run, since Main ends the
// process; the site has a fault that is found before anything is served.
func ExampleRun() {
	type settings struct {
		Greeting string `default:"Hello" help:"what to say"`
	}
	register := func(r *pipeline.Registry) {
		pipeline.App(r, "egg:hello#app", func(_ *pipeline.Build, s settings) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintln(w,
					s.Greeting)
			}), nil
		})
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	const site = `[app:main]
use = egg:hello#app
greetings = Ahoy

[server:main]
use = egg:Paste#http
`
	if err := os.WriteFile(filepath.Join(dir, "site.ini"), []byte(site), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	var faults strings.Builder
	code := serve.Run(context.Background(), []string{filepath.Join(dir, "site.ini")},
		serve.Stdio{Out: os.Stdout, Err: &faults}, register)
	fmt.Print(strings.ReplaceAll(faults.String(), dir+string(filepath.Separator), ""))
	fmt.Println("exit code", code)
	// Output:
	// site.ini:3: [app:main] greetings: unknown setting; did you mean "greeting"?
	// exit code 1
}
