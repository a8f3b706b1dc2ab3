// Command million measures a site with a million sessions: the time of a read, the size of the
// file, the wait of commits while expired sessions are swept, and the size of the file after most
// sessions have expired. It prints the figures in the Go benchmark format.
//
//	million [-quick] [-count 6] > million.txt
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/session"
)

// A scale has the numbers of sessions and of measurements.
type scale struct {
	all     int
	expired int // sessions that are swept under load
	tenth   int // sessions that an earlier, smaller sweep deletes
	few     int // sessions of the small site, and sessions that are read of any site
	aging   int // sessions of the file of which 90 % expire
	reads   int
	count   int
}

const (
	others  = 2 // rounds in which figures without a bound are measured
	clients = 4 // that commit during a sweep
	// The sessions of two sweeps are used so far apart that a timeout distinguishes them.
	gap    = 4 * time.Second
	period = time.Second
	slack  = 3 * period / 2
	calm   = time.Second // of commits before the sweep
)

func main() {
	quick := flag.Bool("quick", false, "few sessions, to see that everything still runs")
	count := flag.Int("count", 6, "how often to measure")
	dir := flag.String("dir", "", "a folder for the databases; a temporary one if not given")
	flag.Parse()
	s := scale{
		all: 1_000_000, expired: 100_000, tenth: 10_000, few: 1000, aging: 100_000, reads: 20_000,
		count: *count,
	}
	if *quick {
		s = scale{
			all: 20_000, expired: 2_000, tenth: 200, few: 100, aging: 2_000, reads: 500, count: 1,
		}
	}
	// An interrupt must not leave files in memory.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *dir, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "million:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, dir string, s scale) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pasteline-million-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	contenders := []contender{
		&ours{used: map[string]time.Time{}, clients: map[string][]*load.Client{}},
		&theirs{clients: map[string][]*load.Client{}},
	}
	if err := prepare(ctx, dir, contenders, s); err != nil {
		return err
	}
	for _, c := range contenders {
		for _, file := range []struct {
			kind             string
			sessions, values int
		}{{"large", s.all, 1}, {"rich", s.all / 10, 4}} {
			info, err := os.Stat(filepath.Join(dir, c.name(), file.kind+".db"))
			if err != nil {
				return err
			}
			name := fmt.Sprintf("File/values=%d/who=%s", file.values, c.name())
			err = load.Line(w, name, 1, load.Metric{Value: float64(info.Size()), Unit: "file-B"},
				load.Metric{Value: float64(file.sessions), Unit: "sessions"})
			if err != nil {
				return err
			}
		}
	}
	for range s.count {
		for _, c := range contenders {
			if err := measureReads(ctx, w, filepath.Join(dir, c.name()), c, s); err != nil {
				return fmt.Errorf("%s: %w", c.name(), err)
			}
		}
	}
	for round := range s.count {
		for _, c := range contenders {
			// The peer's figures have no bound.
			if round >= others && c.name() != sites.Pasteline {
				continue
			}
			for _, measure := range []func(
				context.Context, io.Writer, string, contender, scale,
			) error{measureSweep, measureShrink} {
				if err := measure(ctx, w, filepath.Join(dir, c.name()), c, s); err != nil {
					return fmt.Errorf("%s: %w", c.name(), err)
				}
			}
		}
	}
	return nil
}

// prepare fills the files of all contenders, in folders of dir, at the same time.
func prepare(ctx context.Context, dir string, contenders []contender, s scale) error {
	const need = 1 << 30
	failures := make([]error, len(contenders))
	var group sync.WaitGroup
	for i, c := range contenders {
		group.Go(func() {
			fill := func(dir string) error { return c.prepare(ctx, dir, s) }
			if err := sites.Staged(filepath.Join(dir, c.name()), need, fill); err != nil {
				failures[i] = fmt.Errorf("%s: %w", c.name(), err)
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// A contender is a site whose files can be filled and swept.
type contender interface {
	name() string
	// prepare makes the files few.db, large.db, rich.db and aging.db in dir.
	prepare(ctx context.Context, dir string, s scale) error
	// open opens a site on one of them, or on a copy.
	open(ctx context.Context, path string) (*sites.Site, error)
	// sweep deletes from the site that was opened last the sessions up to an age, and returns their
	// number. A contender that can't distinguish the ages deletes all expired sessions at the age
	// whole, and none at the age tenth.
	sweep(ctx context.Context, age string) (int, error)
	// visitors are the browsers whose sessions a file has, besides the filled ones.
	visitors(kind string) []*load.Client
}

// Ages of sessions: those of large.db that the first sweep deletes, those that the second deletes,
// and those of aging.db that expire.
const (
	tenth = "tenth"
	whole = "whole"
	aged  = "aged"
)

// on returns the same browsers, which talk to another site.
func on(site *sites.Site, browsers []*load.Client) []*load.Client {
	all := make([]*load.Client, len(browsers))
	for i, c := range browsers {
		all[i] = c.On(site)
	}
	return all
}

func measureReads(ctx context.Context, w io.Writer, dir string, c contender, s scale) error {
	for _, size := range []struct {
		kind     string
		sessions int
	}{{"few", s.few}, {"large", s.all}} {
		site, err := c.open(ctx, filepath.Join(dir, size.kind+".db"))
		if err != nil {
			return err
		}
		browsers := on(site, c.visitors(size.kind))
		i := 0
		read := func(int) error {
			i++
			// The step is prime to their number, so all are visited, in an order without locality.
			response, err := browsers[i*7919%len(browsers)].Do(ctx, "GET", "/read")
			if err == nil && string(response.Body) != "1" {
				err = fmt.Errorf("read %q, want 1", response.Body)
			}
			return err
		}
		warm := load.Run(1, load.Times(len(browsers)), read)
		stats := load.Run(1, load.Times(s.reads), read)
		if err := errors.Join(warm.Err, stats.Err, site.Close()); err != nil {
			return err
		}
		name := fmt.Sprintf("Sessions/size=%s/who=%s", size.kind, c.name())
		metrics := append(stats.Metrics(),
			load.Nanoseconds(stats.Elapsed/time.Duration(s.reads), "ns/op"),
			load.Metric{Value: float64(size.sessions), Unit: "sessions"})
		if err := load.Line(w, name, s.reads, metrics...); err != nil {
			return err
		}
	}
	return nil
}

func measureSweep(ctx context.Context, w io.Writer, dir string, c contender, s scale) (err error) {
	site, _, remove, err := openCopy(ctx, dir, c, "large")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(), remove()) }()

	small := time.Now()
	few, err := c.sweep(ctx, tenth)
	if err != nil {
		return err
	}
	smallTime := time.Since(small)

	commit := committer(ctx, site, c.visitors("large"))
	resting, cancel := context.WithTimeout(ctx, calm)
	before := load.Run(clients, load.While(resting), commit)
	cancel()

	sweeping, done := context.WithCancel(ctx)
	var swept int
	var took time.Duration
	var sweepErr error
	go func() {
		defer done()
		began := time.Now()
		swept, sweepErr = c.sweep(ctx, whole)
		took = time.Since(began)
	}()
	during := load.Run(clients, load.While(sweeping), commit)
	if err := errors.Join(before.Err, during.Err, sweepErr); err != nil {
		return err
	}
	if want := s.expired; swept != want {
		return fmt.Errorf("swept %d sessions, want %d", swept, want)
	}
	if few > 0 {
		if few != s.tenth {
			return fmt.Errorf("swept %d sessions, want %d", few, s.tenth)
		}
		err := load.Line(w, "Sweep/part=tenth/who="+c.name(), 1,
			load.Nanoseconds(smallTime, "sweep-ns"),
			load.Nanoseconds(smallTime/time.Duration(few), "ns/session"))
		if err != nil {
			return err
		}
	}
	metrics := append(during.Metrics(),
		load.Nanoseconds(took, "sweep-ns"),
		load.Nanoseconds(took/time.Duration(swept), "ns/session"),
		load.Nanoseconds(before.P99, "calm-p99-ns"), load.Nanoseconds(before.Max, "calm-max-ns"),
		load.Metric{Value: before.Rate(), Unit: "calm-req/s"})
	return load.Line(w, "Sweep/part=whole/who="+c.name(), max(during.Done, 1), metrics...)
}

// openCopy opens a site on a copy of a file of dir, which remove deletes.
func openCopy(ctx context.Context, dir string, c contender, kind string) (
	site *sites.Site, path string, remove func() error, err error,
) {
	path = filepath.Join(dir, "copy.db")
	if err := sites.CopyFile(filepath.Join(dir, kind+".db"), path); err != nil {
		return nil, "", nil, err
	}
	remove = func() error { return os.Remove(path) }
	if site, err = c.open(ctx, path); err != nil {
		return nil, "", nil, errors.Join(err, remove())
	}
	return site, path, remove, nil
}

// committer returns a function for load.Run with which each client increments the number of one
// browser after the other.
func committer(
	ctx context.Context, site *sites.Site, browsers []*load.Client,
) func(client int) error {
	own := on(site, browsers)
	turn := make([]int, clients)
	return func(client int) error {
		turn[client]++
		_, err := own[(client+clients*turn[client])%len(own)].Do(ctx, "POST", "/incr")
		return err
	}
}

// measureShrink has 90 % of the sessions swept under load, and compares the size of the file after
// that with the size of a compact copy. The load are as many increments as sessions are left.
func measureShrink(
	ctx context.Context, w io.Writer, dir string, c contender, s scale,
) (err error) {
	site, path, remove, err := openCopy(ctx, dir, c, "aging")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	var swept int
	var sweepErr error
	var sweeping sync.WaitGroup
	sweeping.Go(func() { swept, sweepErr = c.sweep(ctx, aged) })
	left := s.aging - s.aged()
	stats := load.Run(clients, load.Times(left), committer(ctx, site, c.visitors("aging")))
	sweeping.Wait()
	full, err := os.Stat(path)
	if err := errors.Join(err, sweepErr, stats.Err, site.Close()); err != nil {
		return err
	}
	if swept != s.aged() {
		return fmt.Errorf("swept %d sessions, want %d", swept, s.aged())
	}
	compact, err := compactSize(path, filepath.Join(dir, "compact.db"))
	if err != nil {
		return err
	}
	return load.Line(w, "Shrink/who="+c.name(), 1,
		load.Bytes(int(full.Size()), "file-B"), load.Bytes(int(compact), "live-B"),
		load.Metric{Value: float64(full.Size()) / float64(compact), Unit: "growth"})
}

// aged is the number of sessions of aging.db that expire.
func (s scale) aged() int { return s.aging * 9 / 10 }

// compactSize returns the size of a copy that has all buckets of a file and no free pages.
func compactSize(path, copyPath string) (size int64, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	compact, err := bbolt.Open(copyPath, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		return 0, err
	}
	const txSize = 1 << 20
	err = errors.Join(bbolt.Compact(compact, db, txSize), compact.Close())
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(copyPath)
	if err != nil {
		return 0, err
	}
	return info.Size(), os.Remove(copyPath)
}

// ours is Pasteline on bolt.
type ours struct {
	site *sites.PastelineSite
	// For each age of sessions the time at which they, and no younger ones, had been used.
	used    map[string]time.Time
	clients map[string][]*load.Client
}

func (*ours) name() string { return sites.Pasteline }

func (o *ours) open(ctx context.Context, path string) (*sites.Site, error) {
	// A session is marked as used once in an hour, so that no read that is measured writes.
	return o.openWith(ctx, path, time.Hour)
}

func (o *ours) openWith(
	ctx context.Context, path string, period time.Duration,
) (*sites.Site, error) {
	ini := sites.Ini("bolt://"+path, "timeout = 24h", "period = "+period.String())
	site, err := sites.OpenPastelineIni(ctx, filepath.Dir(path), ini)
	if err != nil {
		return nil, err
	}
	o.site = site
	return site.Site, nil
}

// A layer is sessions that are filled at one time, and the time after them.
type layer struct {
	sessions int
	age      string // under which the time is kept; "" for the youngest sessions
}

// file makes a file with some layers of sessions and, on top, those of some visitors.
func (o *ours) file(
	ctx context.Context, dir, kind string, layers []layer, values func(int) []sites.Value,
	visitors int,
) (err error) {
	site, err := o.openWith(ctx, filepath.Join(dir, kind+".db"), period)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	from := 0
	for _, l := range layers {
		if err := o.site.Fill(ctx, from, l.sessions, values); err != nil {
			return err
		}
		from += l.sessions
		if l.age != "" {
			time.Sleep(gap)
			o.used[l.age] = time.Now()
		}
	}
	o.clients[kind], err = sites.Visitors(ctx, site, 64, visitors)
	return err
}

func (o *ours) prepare(ctx context.Context, dir string, s scale) error {
	rest := s.all - s.tenth - s.expired - s.few
	return errors.Join(
		o.file(ctx, dir, "few", nil, nil, s.few),
		o.file(ctx, dir, "large", []layer{{s.tenth, tenth}, {s.expired, whole}, {rest, ""}},
			sites.OneNumber, s.few),
		o.file(ctx, dir, "rich", []layer{{s.all / 10, ""}}, sites.FourValues, 0),
		o.file(ctx, dir, "aging",
			[]layer{{s.aged(), aged}, {s.aging - s.aged() - s.few, ""}}, sites.TwoTexts, s.few),
	)
}

func (o *ours) sweep(ctx context.Context, age string) (int, error) {
	timeout := time.Since(o.used[age]) + slack
	m, err := session.NewManager(o.site.DB, session.Config{Timeout: timeout, Period: period})
	if err != nil {
		return 0, err
	}
	return m.Sweep(ctx)
}

func (o *ours) visitors(kind string) []*load.Client { return o.clients[kind] }

// theirs is scs on bbolt.
type theirs struct {
	site    *sites.SCSBoltSite
	clients map[string][]*load.Client
}

func (*theirs) name() string { return sites.SCSBolt }

func (t *theirs) open(_ context.Context, path string) (*sites.Site, error) {
	site, err := sites.OpenSCSBolt(path)
	if err != nil {
		return nil, err
	}
	t.site = site
	return site.Site, nil
}

// file makes a file with expired and other sessions and those of some visitors.
func (t *theirs) file(
	ctx context.Context, dir, kind string, expired, rest int, values func(int) []sites.Value,
	visitors int,
) (err error) {
	site, err := t.open(ctx, filepath.Join(dir, kind+".db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	err = cmp.Or(
		t.site.Fill(ctx, expired, values, time.Now().Add(-time.Hour)),
		t.site.Fill(ctx, rest, values, time.Now().Add(24*time.Hour)),
	)
	if err != nil {
		return err
	}
	t.clients[kind], err = sites.Visitors(ctx, site, 64, visitors)
	return err
}

func (t *theirs) prepare(ctx context.Context, dir string, s scale) error {
	return errors.Join(
		t.file(ctx, dir, "few", 0, 0, nil, s.few),
		t.file(ctx, dir, "large", s.expired, s.all-s.expired-s.few, sites.OneNumber, s.few),
		t.file(ctx, dir, "rich", 0, s.all/10, sites.FourValues, 0),
		t.file(ctx, dir, "aging", s.aged(), s.aging-s.aged()-s.few, sites.TwoTexts, s.few),
	)
}

// sweep deletes all expired sessions.
func (t *theirs) sweep(_ context.Context, age string) (int, error) {
	if age == tenth {
		return 0, nil
	}
	return t.site.Store.DeleteExpired()
}

func (t *theirs) visitors(kind string) []*load.Client { return t.clients[kind] }
