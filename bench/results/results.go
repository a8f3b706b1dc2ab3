// Package results reads the output of the benchmarks, and compares it with bounds. [Read] reads a
// run, and [Markdown] writes its table.
package results

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// A Run is the outcome of one run: for each benchmark and unit, the samples. The name of a
// benchmark is as in its line, without "Benchmark" in front and the number of processors behind.
type Run struct {
	Name    string            // of the run
	Machine map[string]string // the hardware, and versions of the software
	Soak    string            // the output of the soak; empty if it did not run
	samples map[key][]float64
	names   []string
}

type key struct{ name, unit string }

// machineFile is the file of a run's folder that has no benchmarks, but lines of the form "key:
// value".
const machineFile = "machine.txt"

// soakFile has the output of the soak.
const soakFile = "soak.log"

// Read reads all files of the form *.txt in a folder.
func Read(dir string) (*Run, error) {
	run := &Run{Name: filepath.Base(dir), Machine: map[string]string{},
		samples: map[key][]float64{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := run.readFile(path); err != nil {
			return nil, err
		}
	}
	soak, err := os.ReadFile(filepath.Join(dir, soakFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	run.Soak = string(soak)
	if len(run.samples) == 0 && run.Soak == "" {
		return nil, fmt.Errorf("%s: no benchmarks in it", dir)
	}
	return run, nil
}

func (run *Run) readFile(path string) (err error) {
	if filepath.Base(path) == machineFile {
		text, err := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				run.Machine[name] = strings.TrimSpace(value)
			}
		}
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return run.Add(file, path)
}

// Add reads lines of the Go benchmark format, and ignores all others: package testing prints more.
func (run *Run) Add(r io.Reader, fileName string) error {
	if run.samples == nil {
		run.samples = map[key][]float64{}
	}
	reader := benchfmt.NewReader(r, fileName)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		name := nameOf(result.Name)
		if !slices.Contains(run.names, name) {
			run.names = append(run.names, name)
		}
		for _, v := range result.Values {
			value, unit := v.Value, v.Unit
			if v.OrigUnit != "" {
				value, unit = v.OrigValue, v.OrigUnit
			}
			k := key{name, unit}
			run.samples[k] = append(run.samples[k], value)
		}
		k := key{name, iterations}
		run.samples[k] = append(run.samples[k], float64(result.Iters))
	}
	return reader.Err()
}

// iterations is the unit under which a benchmark's number of iterations is kept.
const iterations = "iterations"

func nameOf(name benchfmt.Name) string {
	base, parts := name.Parts()
	var all strings.Builder
	all.Write(base)
	for _, part := range parts {
		if part[0] == '-' {
			continue // GOMAXPROCS
		}
		all.Write(part)
	}
	return all.String()
}

// Names returns the benchmarks whose names begin with prefix, in the order in which they were read.
func (run *Run) Names(prefix string) []string {
	var names []string
	for _, name := range run.names {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// Samples returns the figures of a benchmark; none if it was not run.
func (run *Run) Samples(name, unit string) []float64 { return run.samples[key{name, unit}] }

// Median returns the middle sample, or the mean of the middle two; NaN without samples.
func (run *Run) Median(name, unit string) float64 { return median(run.Samples(name, unit)) }

// Max returns the largest sample; NaN without samples.
func (run *Run) Max(name, unit string) float64 {
	if samples := run.Samples(name, unit); len(samples) > 0 {
		return slices.Max(samples)
	}
	return math.NaN()
}

// Min returns the smallest sample; NaN without samples.
func (run *Run) Min(name, unit string) float64 {
	if samples := run.Samples(name, unit); len(samples) > 0 {
		return slices.Min(samples)
	}
	return math.NaN()
}

func median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
