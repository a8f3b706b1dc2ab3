// Command million measures what becomes of a site when it has a million sessions: the time of a read and the size of the file
// (row 10 of the table), and how long commits wait while those that expired are swept (row 11).
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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// How many sessions there are, and how many of them expired.
type scale struct {
	all     int
	expired int // what the sweep finds that is measured against the clients
	tenth   int // what an earlier, smaller sweep finds
	few     int // sessions of the small site, to compare with; each site has as many that are read
	reads   int
	count   int
}

const (
	others  = 2 // how often a sweep is measured that no bound hangs on
	batch   = 1000
	clients = 4 // that commit while a sweep goes on
	// The sessions of two sweeps are used so far apart that a timeout can tell them apart.
	gap    = 4 * time.Second
	period = time.Second
	slack  = 3 * period / 2
	calm   = time.Second // without a sweep, to compare with
)

func main() {
	quick := flag.Bool("quick", false, "few sessions, to see that everything still runs")
	count := flag.Int("count", 6, "how often to measure")
	dir := flag.String("dir", "", "a folder for the databases; a temporary one if not given")
	flag.Parse()
	s := scale{all: 1_000_000, expired: 100_000, tenth: 10_000, few: 1000, reads: 20_000, count: *count}
	if *quick {
		s = scale{all: 20_000, expired: 2_000, tenth: 200, few: 100, reads: 500, count: 1}
	}
	// Files in memory shall not stay when somebody has had enough.
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
	contenders := []contender{&ours{}, &theirs{}}
	if err := prepare(ctx, dir, contenders, s); err != nil {
		return err
	}
	for _, c := range contenders {
		for _, file := range []struct {
			kind             string
			sessions, values int
		}{{"large", s.all, 1}, {"rich", s.all / 10, len(values)}} {
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
			// Nothing is compared with the peer's sweep, which is in the table to be seen.
			if round >= others && c.name() != sites.Pasteline {
				continue
			}
			if err := measureSweep(ctx, w, filepath.Join(dir, c.name()), c, s); err != nil {
				return fmt.Errorf("%s: %w", c.name(), err)
			}
		}
	}
	return nil
}

// memory is a folder in RAM, where files are filled: a disk would be waited for a thousand times, which measures nothing.
const (
	memory     = "/dev/shm"
	memoryNeed = 2 << 30
)

// prepare fills the files of all contenders, at the same time, and puts them into folders of dir.
func prepare(ctx context.Context, dir string, contenders []contender, s scale) (err error) {
	var fs syscall.Statfs_t
	stage := dir
	if err := syscall.Statfs(memory, &fs); err == nil && int64(fs.Bavail)*fs.Bsize >= memoryNeed { //nolint:gosec // so large are none
		if stage, err = os.MkdirTemp(memory, "pasteline-million-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	}
	failures := make([]error, len(contenders))
	var group sync.WaitGroup
	for i, c := range contenders {
		group.Go(func() {
			if err := c.prepare(ctx, filepath.Join(stage, c.name()), s); err != nil {
				failures[i] = fmt.Errorf("%s: %w", c.name(), err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil || stage == dir {
		return err
	}
	for _, c := range contenders {
		if err := os.MkdirAll(filepath.Join(dir, c.name()), 0o700); err != nil {
			return err
		}
		for _, name := range []string{"few.db", "large.db", "rich.db"} {
			if err := copyFile(filepath.Join(stage, c.name(), name), filepath.Join(dir, c.name(), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A contender is a site that can be filled and swept.
type contender interface {
	name() string
	// prepare makes the files few.db, large.db and rich.db in dir.
	prepare(ctx context.Context, dir string, s scale) error
	// open opens a site on a copy of one of them.
	open(ctx context.Context, path string) (*sites.Site, error)
	// sweep removes what expired from the site that was opened last, first a tenth and then all the rest, if it can tell them
	// apart, and returns how many.
	sweep(ctx context.Context, all bool) (int, error)
	// cookies are what the sessions that are read came with.
	cookies(kind string) []*load.Client
}

// values are what a rich session has. The first is the one that the site counts with.
var values = []struct {
	key  string
	text string
}{{"n", ""}, {"user", "visitor number 123456"}, {"theme", "dark"}, {"token", "ykQDrpGZ1hVbTn3xWc7sMf0Lj2q"}}

// visitors makes s.few sessions through the site itself, and returns their browsers.
func visitors(ctx context.Context, site *sites.Site, n int) ([]*load.Client, error) {
	all := make([]*load.Client, n)
	for i := range all {
		all[i] = load.NewClient(site)
	}
	next := make(chan *load.Client, n)
	for _, c := range all {
		next <- c
	}
	stats := load.Run(64, load.Times(n), func(int) error {
		_, err := (<-next).Do(ctx, "POST", "/incr")
		return err
	})
	return all, stats.Err
}

// on returns the same browsers, talking to another site.
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
		browsers := on(site, c.cookies(size.kind))
		i := 0
		read := func(int) error {
			i++
			// A step that has no divisor in common with their number visits all, in an order that no cache likes.
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
		metrics := append(stats.Metrics(), load.Nanoseconds(stats.Elapsed/time.Duration(s.reads), "ns/op"),
			load.Metric{Value: float64(size.sessions), Unit: "sessions"})
		if err := load.Line(w, name, s.reads, metrics...); err != nil {
			return err
		}
	}
	return nil
}

func measureSweep(ctx context.Context, w io.Writer, dir string, c contender, s scale) (err error) {
	path := filepath.Join(dir, "copy.db")
	if err := copyFile(filepath.Join(dir, "large.db"), path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	site, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()

	small := time.Now()
	tenth, err := c.sweep(ctx, false)
	if err != nil {
		return err
	}
	smallTime := time.Since(small)

	browsers := on(site, c.cookies("large"))
	turn := make([]int, clients)
	commit := func(client int) error {
		turn[client]++
		_, err := browsers[(client+clients*turn[client])%len(browsers)].Do(ctx, "POST", "/incr")
		return err
	}
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
		swept, sweepErr = c.sweep(ctx, true)
		took = time.Since(began)
	}()
	during := load.Run(clients, load.While(sweeping), commit)
	if err := errors.Join(before.Err, during.Err, sweepErr); err != nil {
		return err
	}
	if want := s.expired; swept != want {
		return fmt.Errorf("swept %d sessions, want %d", swept, want)
	}
	if tenth > 0 {
		if tenth != s.tenth {
			return fmt.Errorf("swept %d sessions, want %d", tenth, s.tenth)
		}
		err := load.Line(w, "Sweep/part=tenth/who="+c.name(), 1,
			load.Nanoseconds(smallTime, "sweep-ns"), load.Nanoseconds(smallTime/time.Duration(tenth), "ns/session"))
		if err != nil {
			return err
		}
	}
	metrics := append(during.Metrics(),
		load.Nanoseconds(took, "sweep-ns"), load.Nanoseconds(took/time.Duration(swept), "ns/session"),
		load.Nanoseconds(before.P99, "calm-p99-ns"), load.Nanoseconds(before.Max, "calm-max-ns"),
		load.Metric{Value: before.Rate(), Unit: "calm-req/s"})
	return load.Line(w, "Sweep/part=whole/who="+c.name(), max(during.Done, 1), metrics...)
}

// copyFile copies a database, and waits until the copy is on the disk: no commit shall wait for that.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// ours is Pasteline on bolt.
type ours struct {
	site        *sites.PastelineSite
	between     time.Time // when the sessions of the small sweep, and only they, had been used
	live        time.Time // when those that don't expire began to be
	few, larges []*load.Client
}

func (*ours) name() string { return sites.Pasteline }

func (o *ours) open(ctx context.Context, path string) (*sites.Site, error) {
	// Sessions are marked as used once in an hour: no read that is measured writes.
	return o.openWith(ctx, path, time.Hour)
}

func (o *ours) openWith(ctx context.Context, path string, period time.Duration) (*sites.Site, error) {
	ini := strings.Replace(sites.Ini, "database = %s", fmt.Sprintf("database = bolt://%s\ntimeout = 86400\nperiod = %s", path, period), 1)
	site, err := sites.OpenPastelineIni(ctx, filepath.Dir(path), ini)
	if err != nil {
		return nil, err
	}
	o.site = site
	return site.Site, nil
}

func (o *ours) fill(ctx context.Context, from, n, kept int) error {
	m, err := session.NewManager(o.site.DB, session.Config{Timeout: 24 * time.Hour, Period: period})
	if err != nil {
		return err
	}
	for first := from; first < from+n; first += batch {
		err := transaction.Run(ctx, func(ctx context.Context) error {
			for i := first; i < min(first+batch, from+n); i++ {
				s, err := m.Get(session.WithID(ctx, fmt.Sprintf("a browser id of some length %d", i)))
				if err != nil {
					return err
				}
				for j, value := range values[:kept] {
					if j == 0 {
						err = s.Set(value.key, i)
					} else {
						err = s.Set(value.key, value.text)
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *ours) prepare(ctx context.Context, dir string, s scale) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	site, err := o.openWith(ctx, filepath.Join(dir, "few.db"), period)
	if err != nil {
		return err
	}
	if o.few, err = visitors(ctx, site, s.few); err != nil {
		return errors.Join(err, site.Close())
	}
	if err := site.Close(); err != nil {
		return err
	}
	if site, err = o.openWith(ctx, filepath.Join(dir, "large.db"), period); err != nil {
		return err
	}
	if err := o.fill(ctx, 0, s.tenth, 1); err != nil {
		return errors.Join(err, site.Close())
	}
	time.Sleep(gap)
	o.between = time.Now()
	if err := o.fill(ctx, s.tenth, s.expired, 1); err != nil {
		return errors.Join(err, site.Close())
	}
	time.Sleep(gap)
	o.live = time.Now()
	rest := s.all - s.tenth - s.expired - s.few
	if err := o.fill(ctx, s.tenth+s.expired, rest, 1); err != nil {
		return errors.Join(err, site.Close())
	}
	o.larges, err = visitors(ctx, site, s.few)
	if err := errors.Join(err, site.Close()); err != nil {
		return err
	}
	if site, err = o.openWith(ctx, filepath.Join(dir, "rich.db"), period); err != nil {
		return err
	}
	return errors.Join(o.fill(ctx, 0, s.all/10, len(values)), site.Close())
}

func (o *ours) sweep(ctx context.Context, all bool) (int, error) {
	used := o.between
	if all {
		used = o.live
	}
	m, err := session.NewManager(o.site.DB, session.Config{Timeout: time.Since(used) + slack, Period: period})
	if err != nil {
		return 0, err
	}
	return m.Sweep(ctx)
}

func (o *ours) cookies(kind string) []*load.Client {
	if kind == "few" {
		return o.few
	}
	return o.larges
}

// theirs is scs on bbolt.
type theirs struct {
	site        *sites.SCSBoltSite
	few, larges []*load.Client
}

func (*theirs) name() string { return sites.SCSBolt }

func (t *theirs) open(_ context.Context, path string) (*sites.Site, error) {
	site, err := sites.OpenSCSBolt(path, false)
	if err != nil {
		return nil, err
	}
	t.site = site
	return site.Site, nil
}

func (t *theirs) fill(ctx context.Context, from, n, kept int, expiry time.Time) error {
	for first := from; first < from+n; first += batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := t.site.DB.Update(func(tx *bbolt.Tx) error {
			for i := first; i < min(first+batch, from+n); i++ {
				kv := map[string]any{}
				for j, value := range values[:kept] {
					if j == 0 {
						kv[value.key] = i
					} else {
						kv[value.key] = value.text
					}
				}
				data, err := scs.GobCodec{}.Encode(expiry, kv)
				if err != nil {
					return err
				}
				if err := t.site.Store.Put(tx, sites.SCSToken(), data, expiry); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *theirs) prepare(ctx context.Context, dir string, s scale) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	site, err := t.open(ctx, filepath.Join(dir, "few.db"))
	if err != nil {
		return err
	}
	if t.few, err = visitors(ctx, site, s.few); err != nil {
		return errors.Join(err, site.Close())
	}
	if err := site.Close(); err != nil {
		return err
	}
	if site, err = t.open(ctx, filepath.Join(dir, "large.db")); err != nil {
		return err
	}
	err = errors.Join(t.fill(ctx, 0, s.expired, 1, time.Now().Add(-time.Hour)), t.fill(ctx, 0, s.all-s.expired-s.few, 1, time.Now().Add(24*time.Hour)))
	if err != nil {
		return errors.Join(err, site.Close())
	}
	t.larges, err = visitors(ctx, site, s.few)
	if err := errors.Join(err, site.Close()); err != nil {
		return err
	}
	if site, err = t.open(ctx, filepath.Join(dir, "rich.db")); err != nil {
		return err
	}
	return errors.Join(t.fill(ctx, 0, s.all/10, len(values), time.Now().Add(24*time.Hour)), site.Close())
}

// sweep can't tell a tenth: whatever has expired goes.
func (t *theirs) sweep(_ context.Context, all bool) (int, error) {
	if !all {
		return 0, nil
	}
	return t.site.Store.DeleteExpired()
}

func (t *theirs) cookies(kind string) []*load.Client {
	if kind == "few" {
		return t.few
	}
	return t.larges
}
