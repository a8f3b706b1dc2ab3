// Command e2e starts the programs that are compared, drives them over the loopback with wrk, and
// prints the figures in the Go benchmark format.
//
//	e2e [-quick] [-count 6] [-requests 10000000] [PART...] > e2e.txt
//
// The parts are
//
//	http      start, idle memory, each work with 1 to 1,024 connections, one session for all,
//	          reads beside writes, and the memory after 1,024 connections
//	first     the first read of a session in its time slice
//	postgres  round trips, one session in one and in three processes, and a network with a delay
//	stored    the size of a file with many sessions, and a start with it
//	transfer  files and bodies of 1 and 100 MB: first byte, bytes written to disk, CPU time
//	large     the peak memory of a server with large bodies and responses
//	growth    the memory of a server that has answered millions of requests
//
// If none is named, all but growth are measured. The command builds the programs itself, so it must
// be started in the folder of the bench module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/results"
	"github.com/pasteline/pasteline/bench/sites"
)

// A plan says how much is measured.
type plan struct {
	count       int
	warm        time.Duration // of the run of wrk before the runs of a work
	duration    time.Duration // of each run of wrk
	connections []int
	browsers    int   // that send the requests of a run, each with its session
	visitors    int   // the same, for the first reads
	stored      []int // numbers of sessions in the files
	megabytes   int   // of a large file or body
	large       []int // megabytes of bodies and responses
	moved       int   // megabytes of bodies, and of responses, in all
	requests    int   // that a server answers before its memory is compared
}

var (
	whole = plan{
		warm: time.Second, duration: 2 * time.Second,
		connections: []int{1, 8, clients, 256, many},
		browsers:    256, visitors: 1 << 16,
		stored: []int{100_000, 1_000_000}, megabytes: 100,
		large: []int{1, 5, 64, 256}, moved: 1024,
	}
	quick = plan{
		count: 1, warm: time.Second, duration: time.Second,
		connections: []int{1, clients, many},
		browsers:    64, visitors: 1 << 14,
		stored: []int{1_000, 10_000}, megabytes: 10,
		large: []int{5, 64, 256}, moved: 256, requests: 20_000,
	}
)

// clients is the number of connections, if not stated otherwise.
const clients = 64

// others is the number of rounds in which figures without a bound are measured.
const others = 1

// part is a part of the measurements.
type part struct {
	name    string
	measure func(*bench, context.Context) error
	always  bool // measured if no part is named
}

var parts = []part{
	{"http", (*bench).http, true},
	{"first", (*bench).first, true},
	{"postgres", (*bench).postgres, true},
	{"stored", (*bench).stored, true},
	{"transfer", (*bench).transfer, true},
	{"large", (*bench).large, true},
	{"growth", (*bench).growth, false},
}

func main() {
	isQuick := flag.Bool("quick", false, "short runs, to test that everything runs")
	count := flag.Int("count", 6, "the number of rounds")
	requests := flag.Int("requests", 10_000_000, "the number of requests of the part growth")
	flag.Parse()
	p := quick
	if !*isQuick {
		p = whole
		p.count, p.requests = *count, *requests
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, p, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, p plan, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("no part %q: see the command's documentation", name)
		}
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("wrk is not installed: on Debian, apt-get install wrk")
	}
	b := &bench{w: w, plan: p}
	var err error
	if b.bin, err = filepath.Abs("bin"); err != nil {
		return err
	}
	for _, name := range []string{"site", "peer"} {
		pkg := "./cmd/" + name
		to := filepath.Join(b.bin, name)
		build := exec.CommandContext(ctx, "go", "build", "-o", to, pkg) //nolint:gosec // constants
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
	}
	for _, part := range parts {
		if !slices.Contains(names, part.name) && (len(names) > 0 || !part.always) {
			continue
		}
		began := time.Now()
		if err := part.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		took := time.Since(began).Round(time.Second)
		fmt.Fprintf(os.Stderr, "e2e: %s took %v\n", part.name, took)
	}
	return nil
}

type bench struct {
	w    io.Writer
	bin  string
	goal int // the heap goal of the first program
	plan
}

// wanted reports whether the benchmark of this name is measured in a round, counted from 0.
func wanted(round int, name string) bool { return round < others || results.Judged(name) }

// tempDir returns a new folder, which remove deletes; remove adds its error to *err.
func tempDir(err *error) (dir string, remove func(), _ error) {
	dir, failure := os.MkdirTemp("", "pasteline-e2e-")
	return dir, func() { *err = errors.Join(*err, os.RemoveAll(dir)) }, failure
}

// chunk is the time for which requests are sent before the answers are counted.
const chunk = 10 * time.Second

// growth measures the memory of a server that has answered millions of requests.
func (b *bench) growth(ctx context.Context) (err error) {
	s, err := b.start(ctx, sites.Pasteline, setup{})
	if err != nil {
		return err
	}
	defer s.stop(&err)
	browsers, err := s.browsers(ctx, 1024)
	if err != nil {
		return err
	}
	var early, answered int
	for answered < b.requests {
		r, err := s.drive(ctx, clients, chunk, browsers, mixed)
		if err != nil {
			return err
		}
		answered += r.requests
		if early == 0 && answered >= b.requests/20 {
			if early, err = s.memory("VmRSS"); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "e2e: %d of %d requests\n", answered, b.requests)
	}
	late, err := s.memory("VmRSS")
	if err != nil {
		return err
	}
	return load.Line(b.w, "Growth/who="+sites.Pasteline, answered,
		load.Bytes(early, "early-rss-B"), load.Bytes(late, "rss-B"),
		load.Metric{Value: float64(late) / float64(early), Unit: "growth"})
}
