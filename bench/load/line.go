package load

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Metric is a figure and its unit, as in ReportMetric of testing.B.
type Metric struct {
	Value float64
	Unit  string
}

// Line writes a line of the Go benchmark format, for programs that are no Go benchmarks.
func Line(w io.Writer, name string, n int, metrics ...Metric) error {
	var line strings.Builder
	fmt.Fprintf(&line, "Benchmark%s %d", name, n)
	for _, m := range metrics {
		fmt.Fprintf(&line, " %s %s", strconv.FormatFloat(m.Value, 'g', 6, 64), m.Unit)
	}
	_, err := fmt.Fprintln(w, line.String())
	return err
}

// Nanoseconds returns a duration as a metric.
func Nanoseconds(d time.Duration, unit string) Metric {
	return Metric{float64(d.Nanoseconds()), unit}
}

// Metrics returns the figures of a run.
func (s Stats) Metrics() []Metric {
	return []Metric{
		{s.Rate(), "req/s"},
		Nanoseconds(s.P50, "p50-ns"), Nanoseconds(s.P99, "p99-ns"),
		Nanoseconds(s.P999, "p99.9-ns"), Nanoseconds(s.Max, "max-ns"),
	}
}

// Bytes returns a size as a metric.
func Bytes(n int, unit string) Metric { return Metric{float64(n), unit} }
