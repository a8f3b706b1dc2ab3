package results_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/bench/results"
)

func read(t *testing.T, files map[string]string) *results.Run {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

const go3 = `goos: linux
BenchmarkFilters/who=pasteline-2 100 20.0 ns/op 0 B/op 1 allocs/op
BenchmarkFilters/who=hand-2 100 20.0 ns/op 0 B/op 0 allocs/op
BenchmarkFilters/who=pasteline-2 100 30.0 ns/op 0 B/op 1 allocs/op
BenchmarkFilters/who=hand-2 100 20.0 ns/op 0 B/op 0 allocs/op
--- SKIP: BenchmarkSweep
BenchmarkFilters/who=pasteline-2 100 21.0 ns/op 0 B/op 1 allocs/op
BenchmarkFilters/who=hand-2 100 25.0 ns/op 0 B/op 0 allocs/op
BenchmarkOneSession/clients=64/who=pasteline-2 100 20 ns/op 0 lost 1.000 succeeded 500 req/s 12345678 max-ns 1000 p50-ns 2000 p99-ns
BenchmarkOneSession/clients=64/who=pasteline-2 100 20 ns/op 0.01 lost 0.995 succeeded 700 req/s 2345678 max-ns 3000 p50-ns 4000 p99-ns
PASS
`

func TestSamples(t *testing.T) {
	run := read(t, map[string]string{"go.txt": go3, "machine.txt": "cpu: a fast one\n"})
	for _, tt := range []struct {
		what      string
		got, want float64
	}{
		{"the median of three", run.Median("Filters/who=pasteline", "ns/op"), 21},
		{"the median of two", run.Median("OneSession/clients=64/who=pasteline", "req/s"), 600},
		{"the largest", run.Max("OneSession/clients=64/who=pasteline", "lost"), 0.01},
		{"the smallest", run.Min("OneSession/clients=64/who=pasteline", "succeeded"), 0.995},
	} {
		if math.Abs(tt.got-tt.want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	if got := run.Median("Filters/who=nobody", "ns/op"); !math.IsNaN(got) {
		t.Errorf("what was not measured: got %v, want NaN", got)
	}
	if got := run.Machine["cpu"]; got != "a fast one" {
		t.Errorf("cpu: got %q", got)
	}
}

func TestTable(t *testing.T) {
	run := read(t, map[string]string{"go.txt": go3})
	var b bytes.Buffer
	if err := results.Markdown(&b, "a note", run); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"**a note**",
		"| time, against hand-wired | 21 ns | 20 ns | 1.05 × (0.84 to 1.5) | ≤ 1.05 × | holds |",
		"| allocations, against hand-wired | 1 | 0 | +1 | no more | **falls short** |",
		// the worst of all samples, not the median
		"| acknowledged increments lost | 1 % |  |  | ≤ 0 % | **falls short** |",
		"| succeeded | 99.5 % |  |  | ≥ 99 % | holds |",
		"| not measured yet |",
		"| OneSession/clients=64 | pasteline | 600/s | 2 µs | 3 µs |  | 12.3 ms | lost 1 %, " +
			"succeeded 99.5 % |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	rows := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(b.String(), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		rows[n] = true
	}
	for n := 1; n <= 27; n++ {
		if !rows[n] {
			t.Errorf("the table has no row %d", n)
		}
	}
}

// TestPieces tests that the parts of a run are one table, with the contenders of a work together.
func TestPieces(t *testing.T) {
	run := read(t, map[string]string{
		"go.txt": go3,
		"e2e.txt": `BenchmarkHTTP/work=hello-new/clients=64/who=pasteline 10 900 req/s 1000 p50-ns 2000 p99-ns 3000 max-ns
BenchmarkHTTP/work=read/clients=64/who=pasteline 10 800 req/s 1000 p50-ns 2000 p99-ns 2500 p99.9-ns 3000 max-ns
BenchmarkHTTP/work=hello-new/clients=64/who=scs-boltstore 10 1000 req/s 1000 p50-ns 2000 p99-ns 3000 max-ns
BenchmarkHTTP/work=read/clients=64/who=scs-boltstore 10 400 req/s 1000 p50-ns 2000 p99-ns 3000 max-ns
`,
		"growth.txt": "BenchmarkGrowth/who=pasteline 10000000 1e+07 early-rss-B 2e+07 rss-B " +
			"2 growth\n",
	})
	var b bytes.Buffer
	if err := results.Markdown(&b, "", run); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| time, against hand-wired | 21 ns |",
		"| 4 | over HTTP: hello, a new visitor without a cookie | a second, against scs + " +
			"boltstore | 900/s | 1,000/s | 0.9 × | ≥ 1 × | **falls short** |",
		"| after ten million requests, against a twentieth of them | 2 × |",
		"| HTTP/work=read/clients=64 | pasteline | 800/s | 1 µs | 2 µs | 2.5 µs | 3 µs |  |\n" +
			"|  | scs-boltstore | 400/s |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestJudged(t *testing.T) {
	for name, want := range map[string]bool{
		"Read/who=pasteline": true, "Read/who=scs-memstore": true, "Read/who=gorilla-cookie": false,
		"HTTP/work=read/clients=64/who=bbolt-group": true,
	} {
		if got := results.Judged(name); got != want {
			t.Errorf("Judged(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestSoakAlone tests a run that has only the soak, which has no row in the table.
func TestSoakAlone(t *testing.T) {
	run := read(t, map[string]string{"machine.txt": "cpu: a fast one\n",
		"soak.log": "all was well\n"})
	var b bytes.Buffer
	if err := results.Markdown(&b, "", run); err != nil ||
		!strings.Contains(b.String(), "all was well") {
		t.Errorf("got %v and %s, want what the soak printed", err, b.String())
	}
}

func TestReadNothing(t *testing.T) {
	if _, err := results.Read(t.TempDir()); err == nil {
		t.Error("an empty folder is no run; want an error")
	}
}

func TestPlots(t *testing.T) {
	var text strings.Builder
	for clients := 1; clients <= 64; clients *= 2 {
		for i, who := range []string{"pasteline", "peer"} {
			fmt.Fprintf(&text, "BenchmarkSweep/work=incr/clients=%d/who=%s-2 100 20 ns/op %d "+
				"req/s %d p50-ns %d p99-ns\n",
				clients, who, clients*1000*(i+1), clients*1000, clients*5000)
		}
	}
	run := read(t, map[string]string{"sweep.txt": text.String()})
	dir := t.TempDir()
	// the later run has nothing to draw
	files, err := results.Plots(dir, run, read(t, map[string]string{"go.txt": go3}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	if got, want := strings.Join(names, " "), "read.svg incr.svg one.svg "+
		"http-hello-returning.svg http-hello-new.svg http-read.svg http-incr.svg"; got != want {
		t.Errorf("drawn: %s, want %s", got, want)
	}
	if other, err := os.ReadFile(filepath.Join(dir, "read.svg")); err != nil ||
		!strings.Contains(string(other), "not measured yet") {
		t.Errorf("a picture of what was not measured: %v\n%s", err, other)
	}
	if files, err = results.Plots(dir, run); err != nil || len(files) != 1 {
		t.Errorf("again: drawn %v, %v, want incr.svg alone", files, err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "incr.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{"<polyline": 6, ">pasteline<": 1, ">peer<": 1,
		"NaN": 0, "Inf": 0} {
		if got := strings.Count(string(svg), what); got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
}
