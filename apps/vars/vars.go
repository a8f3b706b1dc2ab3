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
//	pasteline.storage    for each open PostgreSQL database: predicate_locks (held),
//	                     predicate_locks_capacity, and oldest_transaction_seconds, the age of the
//	                     oldest open transaction
//
// and those that the program has published with package expvar. The program's command line, which
// expvar publishes too, is left out, as its arguments may contain secrets.
//
// # Caveats
//
// The answer is not meant for the public. Mount the app where only administrators can reach it, for
// example on a separate server.
package vars

import (
	"bytes"
	"encoding/json"
	"expvar"
	"net/http"

	"github.com/pasteline/pasteline/pipeline"
)

// Register adds the app to r under "egg:pasteline#vars".
func Register(r *pipeline.Registry) {
	pipeline.App(r, "egg:pasteline#vars", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return New(), nil
	})
}

// New returns the app. It is safe for concurrent use.
func New() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var text bytes.Buffer
	text.WriteString("{")
	separator := "\n"
	expvar.Do(func(v expvar.KeyValue) {
		if v.Key == "cmdline" {
			return
		}
		key, _ := json.Marshal(v.Key) // a string can always be encoded
		text.WriteString(separator)
		text.Write(key)
		text.WriteString(": " + v.Value.String())
		separator = ",\n"
	})
	text.WriteString("\n}\n")
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(text.Bytes()) // fails only if the client has disconnected
}
