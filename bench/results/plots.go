package results

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/bench/plot"
)

// plots are what is drawn: benchmarks with the parts "/clients=" and "/who=".
var plots = []struct{ file, title, prefix string }{
	{"read", "a session is read, in the same process", "Sweep/work=read/"},
	{"incr", "a session is written durably, each client its own", "Sweep/work=incr/"},
	{"one", "all clients write durably to one session", "Sweep/work=one/"},
	{"http-hello-returning", "GET /hello over HTTP, no session, from browsers with a cookie", "HTTPSweep/work=hello-returning/"},
	{"http-hello-new", "GET /hello over HTTP, no session, from new visitors", "HTTPSweep/work=hello-new/"},
	{"http-read", "GET /read over HTTP, a session is read", "HTTPSweep/work=read/"},
	{"http-incr", "POST /incr over HTTP, a session is written durably", "HTTPSweep/work=incr/"},
}

// Plots draws what the run has to show into a folder, and returns the files.
func (run *Run) Plots(dir string) ([]string, error) {
	var files []string
	for _, p := range plots {
		names := run.Names(p.prefix)
		if len(names) == 0 {
			continue
		}
		chart := plot.Chart{Title: p.title}
		for _, name := range names {
			rest, who, ok := strings.Cut(strings.TrimPrefix(name, p.prefix), "/who=")
			clients, err := strconv.Atoi(strings.TrimPrefix(rest, "clients="))
			if !ok || err != nil {
				return nil, fmt.Errorf("%s: want clients= and who= in the name", name)
			}
			chart.Add(who, plot.Point{
				Clients: clients, Rate: run.Median(name, "req/s"), P50: run.Median(name, "p50-ns"), P99: run.Median(name, "p99-ns"),
			})
		}
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pictures for everybody
			return nil, err
		}
		file := filepath.Join(dir, p.file+".svg")
		if err := os.WriteFile(file, chart.SVG(), 0o644); err != nil { //nolint:gosec // pictures for everybody
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
