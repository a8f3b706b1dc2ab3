// Command e2e starts each program, drives it over the loopback with wrk, and prints what came of it in the Go benchmark format:
// rows 7, 8, 12 and 13 of the table, and what the plots show.
//
//	e2e [-quick] [-count 6] [-clients 1,2,4] [-requests 10000000] [PART...] > e2e.txt
//
// The parts are
//
//	work    each program's start, its memory when idle, and each work with 64 clients
//	sweep   the works with each number of clients that -clients names, for the plots
//	large   the most memory that a server needs for large bodies and responses
//	growth  the memory of a server that has answered a great many requests
//
// All but growth, which takes long by itself, are measured if none is named. It builds the programs itself, so it is to be started in
// the folder of the bench module.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/results"
	"github.com/pasteline/pasteline/bench/sites"
)

// The programs that are compared: ours is cmd/site with an .ini file, that is serve with the handlers that all of them have.
var programs = []string{sites.Pasteline, sites.SCSBolt, sites.BoltGroup, sites.SCSBoltIdle}

// A plan says how much is measured.
type plan struct {
	count    int
	duration time.Duration // of each run of wrk
	brief    time.Duration // of those for the plots
	sweep    []int         // numbers of clients for the plots
	requests int           // that a server answers before its memory is looked at again
	large    []int         // megabytes of bodies and responses
	moved    int           // megabytes of bodies, and of responses, in all
	browsers int
}

// Programs that nothing is asked of are measured so often: their lines are in the table, but no bound hangs on them.
const others = 2

const (
	clients = 64
	warm    = time.Second // before each run of wrk; it knows no less
)

func main() {
	quick := flag.Bool("quick", false, "short runs, to see that everything still works")
	count := flag.Int("count", 6, "how often to measure")
	sweep := flag.String("clients", "", "numbers of clients for the plots, such as 1,2,4,8; none if not given")
	requests := flag.Int("requests", 10_000_000, "how many requests a server answers before its memory is looked at again")
	flag.Parse()
	p := plan{
		count: *count, duration: 3 * time.Second, brief: 2 * time.Second, requests: *requests, large: []int{1, 5, 64, 256}, moved: 1024, browsers: 1024,
	}
	if *quick {
		p = plan{count: 1, duration: time.Second, brief: time.Second, requests: 20_000, large: []int{5, 64, 256}, moved: 256, browsers: 256}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := parse(*sweep, &p)
	if err == nil {
		err = run(ctx, os.Stdout, p, flag.Args())
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func parse(sweep string, p *plan) error {
	if sweep == "" {
		return nil
	}
	for text := range strings.SplitSeq(sweep, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-clients: %w", err)
		}
		p.sweep = append(p.sweep, n)
	}
	return nil
}

func run(ctx context.Context, w io.Writer, p plan, names []string) error {
	b := &bench{w: w, plan: p}
	parts := map[string]func(context.Context) error{"work": b.works, "sweep": b.sweeps, "large": b.large, "growth": b.growth}
	if len(names) == 0 {
		names = []string{"work", "sweep", "large"}
	}
	for _, name := range names {
		if parts[name] == nil {
			return fmt.Errorf("no part %q: work, sweep, large or growth", name)
		}
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("no wrk: install it, with apt-get install wrk on Debian")
	}
	var err error
	if b.bin, err = filepath.Abs("bin"); err != nil {
		return err
	}
	for _, name := range []string{"site", "peer"} {
		pkg := "./cmd/" + name
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(b.bin, name), pkg) //nolint:gosec // names of ours
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
	}
	for _, name := range names {
		if err := parts[name](ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

type bench struct {
	w   io.Writer
	bin string
	plan
}

// works measures the programs one after the other, and then all again.
func (b *bench) works(ctx context.Context) error {
	for round := range b.count {
		for _, name := range programs {
			if round >= others && !results.Judged("HTTP/work="+read.name+"/who="+name) {
				continue
			}
			if err := b.program(ctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// sweeps measures the programs with one number of clients, and then with the next.
func (b *bench) sweeps(ctx context.Context) error {
	for _, n := range b.plan.sweep {
		for _, name := range programs {
			if err := b.sweep(ctx, name, n); err != nil {
				return fmt.Errorf("%s, %d clients: %w", name, n, err)
			}
		}
	}
	return nil
}

// program measures one start of one program: how long that takes, its memory, each work, and one session for all.
func (b *bench) program(ctx context.Context, name string) (err error) {
	s, err := b.start(ctx, name)
	if err != nil {
		return err
	}
	defer s.stop(&err)
	idle, err := s.memory("VmRSS")
	if err != nil {
		return err
	}
	err = load.Line(b.w, "Start/who="+name, 1,
		load.Nanoseconds(s.took, "start-ns"), load.Metric{Value: float64(idle), Unit: "rss-B"})
	if err != nil {
		return err
	}
	cookies, err := s.browsers(ctx, b.browsers)
	if err != nil {
		return err
	}
	for _, work := range works {
		if _, err := s.wrk(ctx, clients, warm, cookies.of(work), work); err != nil {
			return err
		}
		r, err := s.wrk(ctx, clients, b.duration, cookies.of(work), work)
		if err != nil {
			return err
		}
		if r.failed > 0 || r.broken > 0 {
			return fmt.Errorf("%s: of %d requests %d failed and %d broke", work.name, r.requests, r.failed, r.broken)
		}
		if err := r.line(b.w, fmt.Sprintf("HTTP/work=%s/who=%s", work.name, name)); err != nil {
			return err
		}
	}
	return b.one(ctx, s)
}

// one has all clients increment one session, and counts what became of that.
func (b *bench) one(ctx context.Context, s *server) error {
	cookies, err := s.browsers(ctx, 1)
	if err != nil {
		return err
	}
	before, err := s.number(ctx, cookies)
	if err != nil {
		return err
	}
	r, err := s.wrk(ctx, clients, b.duration, cookies, incr)
	if err != nil {
		return err
	}
	after, err := s.number(ctx, cookies)
	if err != nil {
		return err
	}
	acknowledged := r.requests - r.failed
	// What was under way when wrk left may have been committed, too.
	lost := max(0, acknowledged-(after-before))
	return r.line(b.w, "HTTPOneSession/who="+s.name,
		load.Metric{Value: float64(acknowledged) / float64(max(1, r.requests)), Unit: "succeeded"},
		load.Metric{Value: float64(lost) / float64(max(1, acknowledged)), Unit: "lost"})
}

// sweep is for the plots: each work, with so many clients.
func (b *bench) sweep(ctx context.Context, name string, n int) (err error) {
	s, err := b.start(ctx, name)
	if err != nil {
		return err
	}
	defer s.stop(&err)
	cookies, err := s.browsers(ctx, b.browsers)
	if err != nil {
		return err
	}
	for _, work := range works {
		r, err := s.wrk(ctx, n, b.brief, cookies.of(work), work)
		if err != nil {
			return err
		}
		if err := r.line(b.w, fmt.Sprintf("HTTPSweep/work=%s/clients=%d/who=%s", work.name, n, name)); err != nil {
			return err
		}
	}
	return nil
}

// chunk is how long requests are sent before somebody looks how many were answered.
const chunk = 10 * time.Second

// growth is the memory of a server that has answered a great many requests.
func (b *bench) growth(ctx context.Context) (err error) {
	s, err := b.start(ctx, sites.Pasteline)
	if err != nil {
		return err
	}
	defer s.stop(&err)
	cookies, err := s.browsers(ctx, b.browsers)
	if err != nil {
		return err
	}
	var early, answered int
	for answered < b.requests {
		r, err := s.wrk(ctx, clients, chunk, cookies, mixed)
		if err != nil {
			return err
		}
		if r.failed > 0 || r.broken > 0 {
			return fmt.Errorf("of %d requests %d failed and %d broke", r.requests, r.failed, r.broken)
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
		load.Metric{Value: float64(early), Unit: "early-rss-B"}, load.Metric{Value: float64(late), Unit: "rss-B"},
		load.Metric{Value: float64(late) / float64(early), Unit: "growth"})
}
