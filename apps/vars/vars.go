// Package vars is an app that answers with the program's metrics: what package expvar of the standard library knows, as JSON.
//
// In an .ini, "use = egg:pasteline#vars"; in Go code, [New]. There are
//
//	memstats             of the Go runtime, as in runtime.MemStats
//	pasteline.recovery   what was done about transactions that a crash had left prepared: see transaction/recovery.Stats
//	pasteline.storage    of each PostgreSQL database that is open: predicate_locks, which are held, predicate_locks_capacity, and
//	                     oldest_transaction_seconds, for how long the oldest transaction has been open
//
// and whatever else the program has published with package expvar. The arguments of the program's command line, which package expvar
// has too, are left out: they may have secrets.
//
// # Caveats
//
// The answer is not for everybody. Put the app where only those who look after the site can ask it, on a server of its own, say.
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
	pipeline.App(r, "egg:pasteline#vars", func(*pipeline.Build, struct{}) (http.Handler, error) { return New(), nil })
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
		key, _ := json.Marshal(v.Key) // a string always can be
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
	_, _ = w.Write(text.Bytes()) // a client that has gone reads nothing
}
