package results

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Markdown writes the tables of some runs, the newest last, and a note on top unless it is empty.
func Markdown(w io.Writer, note string, runs ...*Run) error {
	var b bytes.Buffer
	b.WriteString(`# Results

Written by ` + "`make bench`, `make bench-e2e`, `make bench-growth` and `make bench-soak`" + `;
[README.md](README.md) describes the measurements, and how to read these tables. Each figure is the
median of the samples of one run; the brackets have the smallest and the largest ratio of single
samples.
`)
	if note != "" {
		fmt.Fprintf(&b, "\n**%s**\n", note)
	}
	for _, run := range runs {
		fmt.Fprintf(&b, "\n## The run %q\n\n", run.Name)
		run.table(&b)
		run.latencies(&b)
		run.soak(&b)
		run.machine(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Short returns the number of checks that were measured, and of those that fall short.
func (run *Run) Short() (made, short int) {
	for _, c := range checks {
		if v := c.judge(run); v.measured {
			made++
			if !v.holds {
				short++
			}
		}
	}
	return made, short
}

func (run *Run) table(b *bytes.Buffer) {
	b.WriteString("| # | work | figure | ours | the peer's | ratio | bound | |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	for _, c := range checks {
		v := c.judge(run)
		fmt.Fprintf(b, "| %d | %s | %s | %s | %s | %s | %s | %s |\n",
			v.row, v.work, v.figure, quantity(v.ours, v.unit), quantity(v.peer, v.unit),
			v.valueText(), v.boundText(), v.outcome())
	}
	made, short := run.Short()
	fmt.Fprintf(b, "\n%d of %d figures were measured; %d of them fall short.\n",
		made, len(checks), short)
}

func (run *Run) soak(b *bytes.Buffer) {
	if run.Soak != "" {
		fmt.Fprintf(b, "\n### The soak\n\n```\n%s```\n", run.Soak)
	}
}

// latencies writes the latencies of all benchmarks that have them, except those of single points of
// a plot.
func (run *Run) latencies(b *bytes.Buffer) {
	b.WriteString(`
### Latency

The medians of p50, p99 and p99.9 over all samples, and the longest latency of all.

| benchmark | contender | a second | p50 | p99 | p99.9 | longest | |
|---|---|---|---|---|---|---|---|
`)
	last := ""
	for _, name := range run.byBenchmark() {
		if run.Samples(name, "p50-ns") == nil || strings.HasPrefix(name, plotOnly) {
			continue
		}
		benchmark, who := split(name)
		shown := benchmark
		if benchmark == last {
			shown = ""
		}
		last = benchmark
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", shown, who,
			quantity(run.Median(name, "req/s"), "req/s"),
			quantity(run.Median(name, "p50-ns"), "ns"), quantity(run.Median(name, "p99-ns"), "ns"),
			quantity(run.Median(name, "p99.9-ns"), "ns"), quantity(run.Max(name, "max-ns"), "ns"),
			strings.Join(run.notes(name), ", "))
	}
}

// plotOnly is the prefix of the benchmarks that have a plot and no line in the table of latencies.
const plotOnly = "Sweep/work="

// notes are the further figures of a benchmark.
func (run *Run) notes(name string) []string {
	var notes []string
	if lost := run.Samples(name, "lost"); lost != nil {
		notes = append(notes, "lost "+quantity(slices.Max(lost), "lost"))
	}
	if ok := run.Samples(name, "succeeded"); ok != nil && slices.Min(ok) < 1 {
		notes = append(notes, "succeeded "+quantity(slices.Min(ok), "succeeded"))
	}
	if calm := run.Samples(name, "calm-max-ns"); calm != nil {
		longest := quantity(slices.Max(calm), "ns")
		notes = append(notes, "without a sweep the longest is "+longest)
	}
	for _, extra := range []struct{ unit, text string }{
		{"trips/op", "%s round trips"},
		{"first-byte-ns", "first byte %s"},
		{"disk-B", "%s to disk"},
		{"cpu-ns", "CPU %s"},
	} {
		if run.Samples(name, extra.unit) != nil {
			text := quantity(run.Median(name, extra.unit), extra.unit)
			notes = append(notes, fmt.Sprintf(extra.text, text))
		}
	}
	return notes
}

// byBenchmark returns the names, those of one benchmark together, also if a program has written
// them contender by contender.
func (run *Run) byBenchmark() []string {
	var names []string
	seen := map[string]bool{}
	for _, name := range run.names {
		benchmark, _ := split(name)
		if seen[benchmark] {
			continue
		}
		seen[benchmark] = true
		for _, other := range run.names {
			if b, _ := split(other); b == benchmark {
				names = append(names, other)
			}
		}
	}
	return names
}

func split(name string) (benchmark, who string) {
	benchmark, who, _ = strings.Cut(name, "/who=")
	return benchmark, who
}

func (run *Run) machine(b *bytes.Buffer) {
	if len(run.Machine) == 0 {
		return
	}
	b.WriteString("\n### Machine and versions\n\n| | |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(run.Machine)) {
		fmt.Fprintf(b, "| %s | %s |\n", name, run.Machine[name])
	}
}
