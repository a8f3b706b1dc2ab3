// Package vars is an app that answers with the program's metrics, as JSON: the variables of the
// standard library's package expvar.
//
// In Go code, [New] returns the handler. In an .ini file, its name is egg:pasteline#vars (after
// egg: stands the name that a package gives to its app):
//
//	[app:vars]
//	use = egg:pasteline#vars
//
// The variables are
//
//	memstats             memory statistics of the Go runtime, as in runtime.MemStats
//	pasteline.recovery   transactions that a crash left prepared, and how they were settled:
//	                     see transaction/recovery.Stats
//	pasteline.storage    for each open database of bolt its file and readers, for each of
//	                     PostgreSQL its pool of connections, predicate_locks (held),
//	                     predicate_locks_capacity, and oldest_transaction_seconds, the age of the
//	                     oldest open transaction
//
// and those that the program has published with package expvar. The program's command line, which
// expvar publishes too, is left out, as its arguments may contain secrets.
//
// The app metrics (egg:pasteline#metrics) has these values and many more, for Prometheus. This app
// is for programs that publish their own variables with expvar, and for tools that read them.
//
// # Caveats
//
// The answer is not meant for the public. Mount the app where only administrators can reach it, for
// example on a separate server.
package vars

import (
	"encoding/json"
	"expvar"
	"io"
	"net/http"
	"strings"

	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
)

// Register adds the app to r under "egg:pasteline#vars".
func Register(r *pipeline.Registry) {
	pipeline.App(r, "egg:pasteline#vars", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		site, opener := status.Of(b), b.Opener()
		return app{
			{"pasteline.recovery", func() any { stats, _ := site.Recovery(); return stats }},
			{"pasteline.storage", func() any { return opener.Gauges() }},
		}, nil
	})
}

// New returns the app for the variables of package expvar alone. It is safe for concurrent use.
func New() http.Handler { return app(nil) }

// An app has variables of its own, besides those of package expvar.
type app []variable

type variable struct {
	name  string
	value func() any
}

func (a app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var lines []string
	add := func(name, value string) {
		key, _ := json.Marshal(name) // a string can always be encoded
		lines = append(lines, string(key)+": "+value)
	}
	expvar.Do(func(v expvar.KeyValue) {
		if v.Key != "cmdline" {
			add(v.Key, v.Value.String())
		}
	})
	for _, v := range a {
		add(v.name, expvar.Func(v.value).String())
	}
	text := "{\n" + strings.Join(lines, ",\n") + "\n}\n"
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, text) // fails only if the client has disconnected
}
