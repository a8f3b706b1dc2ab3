package results

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/bench/plot"
)

// plots are of benchmarks whose names have the parts "/clients=" and "/who=".
var plots = []struct{ file, title, prefix string }{
	{"read", "a session is read, in the same process", "Sweep/work=read/"},
	{"incr", "a session is written durably, each client its own", "Sweep/work=incr/"},
	{"one", "all clients write durably to one session", "Sweep/work=one/"},
	{"http-hello-returning", "GET /hello over HTTP, no session, from browsers with a cookie",
		"HTTP/work=hello-returning/"},
	{"http-hello-new", "GET /hello over HTTP, no session, from new visitors",
		"HTTP/work=hello-new/"},
	{"http-read", "GET /read over HTTP, a session is read", "HTTP/work=read/"},
	{"http-incr", "POST /incr over HTTP, a session is written durably", "HTTP/work=incr/"},
}

// Plots draws the plots into a folder, each from the last run that has its benchmarks, and returns
// the files. If no run has them, an existing picture stays, and a missing one is drawn empty, since
// documents show all of them.
func Plots(dir string, runs ...*Run) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // all may read it
		return nil, err
	}
	var files []string
	for _, p := range plots {
		chart := plot.Chart{Title: p.title}
		for _, run := range slices.Backward(runs) {
			if names := run.Names(p.prefix); len(names) > 0 {
				if err := run.addTo(&chart, p.prefix, names); err != nil {
					return nil, err
				}
				break
			}
		}
		file := filepath.Join(dir, p.file+".svg")
		if _, err := os.Stat(file); err == nil && chart.Empty() {
			continue
		}
		err := os.WriteFile(file, chart.SVG(), 0o644) //nolint:gosec // all may read it
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// addTo adds the figures of benchmarks to a chart.
func (run *Run) addTo(chart *plot.Chart, prefix string, names []string) error {
	for _, name := range names {
		rest, who, ok := strings.Cut(strings.TrimPrefix(name, prefix), "/who=")
		clients, err := strconv.Atoi(strings.TrimPrefix(rest, "clients="))
		if !ok || err != nil {
			return fmt.Errorf("%s: want clients= and who= in the name", name)
		}
		chart.Add(who, plot.Point{
			Clients: clients, Rate: run.Median(name, "req/s"),
			P50: run.Median(name, "p50-ns"), P99: run.Median(name, "p99-ns"),
		})
	}
	return nil
}
