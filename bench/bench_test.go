package bench_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/pgserver"
	"github.com/pasteline/pasteline/bench/results"
	"github.com/pasteline/pasteline/bench/sites"
)

var (
	sweep  = flag.String("clients", "", "numbers of clients for the plots, such as 1,2,4,8: BenchmarkSweep runs with each")
	judged = flag.Bool("judged", false, "only those benchmarks on which a bound of the table hangs; the others need fewer samples")
)

// server is the PostgreSQL server that all benchmarks share; it is started by the first that needs one.
var server struct {
	once sync.Once
	*pgserver.Server
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := closePostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func postgresURI(tb testing.TB) string {
	tb.Helper()
	server.once.Do(func() { server.Server, server.err = pgserver.Start(context.Background()) })
	if errors.Is(server.err, pgserver.ErrNotInstalled) && os.Getenv("PASTELINE_REQUIRE_SERVICES") == "" {
		tb.Skip(server.err)
	}
	must(tb, server.err)
	return server.URI
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// open opens a site in an empty folder.
func open(tb testing.TB, name string) *sites.Site {
	tb.Helper()
	settings := sites.Settings{Dir: tb.TempDir()}
	if sites.NeedsPostgres(name) {
		settings.Postgres = postgresURI(tb)
	}
	site, err := sites.Open(tb.Context(), name, settings)
	must(tb, err)
	tb.Cleanup(func() { must(tb, site.Close()) })
	return site
}

// browsers returns so many clients, each with a session of its own.
func browsers(tb testing.TB, site *sites.Site, n int) []*load.Client {
	tb.Helper()
	clients := make([]*load.Client, n)
	for i := range clients {
		clients[i] = load.NewClient(site)
		_, err := clients[i].Do(tb.Context(), "POST", "/incr")
		must(tb, err)
	}
	return clients
}

// report adds the figures that testing does not have.
func report(b *testing.B, stats load.Stats) {
	b.Helper()
	if stats.Failed > 0 {
		b.Fatalf("%d of %d failed: %v", stats.Failed, stats.Done+stats.Failed, stats.Err)
	}
	reportAll(b, stats)
}

func reportAll(b *testing.B, stats load.Stats) {
	b.Helper()
	b.ReportMetric(stats.Rate(), "req/s")
	b.ReportMetric(float64(stats.P50.Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(stats.P99.Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(stats.Max.Nanoseconds()), "max-ns")
}

// each runs a benchmark for each of some contenders, one after the other, so that whoever reads compares neighbours.
func each(b *testing.B, names []string, bench func(b *testing.B, name string)) {
	b.Helper()
	for _, name := range names {
		who(b, name, func(b *testing.B) {
			b.Helper()
			b.ReportAllocs()
			bench(b, name)
		})
	}
}

// who runs a benchmark for one contender, unless only others are asked for.
func who(b *testing.B, name string, bench func(b *testing.B)) {
	b.Helper()
	name = "who=" + name
	if *judged && !results.Judged(strings.TrimPrefix(b.Name(), "Benchmark")+"/"+name) {
		return
	}
	b.Run(name, bench)
}

// clientsOf runs b.N requests, by clients with a session each.
func clientsOf(b *testing.B, name string, clients int, method, path string) {
	b.Helper()
	site := open(b, name)
	all := browsers(b, site, clients)
	ctx := b.Context()
	b.ResetTimer()
	stats := load.Run(clients, load.Times(b.N), func(client int) error {
		_, err := all[client].Do(ctx, method, path)
		return err
	})
	b.StopTimer()
	report(b, stats)
}

// BenchmarkRead is a request that reads a session (row 4).
func BenchmarkRead(b *testing.B) {
	each(b, []string{
		sites.Pasteline, sites.SCSMemory, sites.SCSMemIdle, sites.SCSBolt, sites.SCSBoltIdle, sites.BoltUpdate, sites.GorillaCookie, sites.GorillaFilesystem,
	}, func(b *testing.B, name string) {
		b.Helper()
		clientsOf(b, name, 1, "GET", "/read")
	})
}

// BenchmarkIncr is a request that writes durably to a session of its own (rows 5 and 6).
func BenchmarkIncr(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			names := []string{sites.Pasteline, sites.BoltGroup, sites.BoltUpdate, sites.SCSBolt, sites.SCSBoltIdle}
			if clients == 1 {
				names = append(names, sites.GorillaFilesystem)
			}
			each(b, names, func(b *testing.B, name string) {
				b.Helper()
				clientsOf(b, name, clients, "POST", "/incr")
			})
		})
	}
}

// oneSession runs b.N increments of one session by so many clients, and counts what became of those that were acknowledged.
func oneSession(b *testing.B, name string, clients int) {
	b.Helper()
	site := open(b, name)
	first := browsers(b, site, 1)[0]
	all := make([]*load.Client, clients)
	for i := range all {
		all[i] = first.Clone()
	}
	ctx := b.Context()
	b.ResetTimer()
	stats := load.Run(clients, load.Times(b.N), func(client int) error {
		_, err := all[client].Do(ctx, "POST", "/incr")
		return err
	})
	b.StopTimer()
	response, err := first.Do(ctx, "GET", "/read")
	must(b, err)
	n, err := strconv.Atoi(string(response.Body))
	must(b, err)
	reportAll(b, stats)
	b.ReportMetric(float64(stats.Done)/float64(stats.Done+stats.Failed), "succeeded")
	b.ReportMetric(float64(stats.Done+1-n)/float64(stats.Done+1), "lost")
}

// BenchmarkOneSession is 64 clients that all increment one session (row 7).
func BenchmarkOneSession(b *testing.B) {
	b.Run("clients=64", func(b *testing.B) {
		each(b, []string{sites.Pasteline, sites.SCSBolt, sites.SCSMemory, sites.BoltGroup}, func(b *testing.B, name string) {
			b.Helper()
			oneSession(b, name, 64)
		})
	})
}

// postgresSites are open from their first benchmark to the end, with sessions enough for the server to use its indexes: on a table
// of a few rows it does not, and then finds conflicts between those that have nothing to do with each other.
var (
	postgresSites = map[string]*sites.Site{}
	postgresDirs  []string
)

const (
	postgresClients  = 16
	postgresSessions = 4000
)

func postgresSite(tb testing.TB, name string) *sites.Site {
	tb.Helper()
	if site := postgresSites[name]; site != nil {
		return site
	}
	uri := postgresURI(tb)
	dir, err := os.MkdirTemp("", "pasteline-bench-") //nolint:usetesting // it outlives this benchmark
	must(tb, err)
	postgresDirs = append(postgresDirs, dir)
	ctx := context.Background() // it outlives this benchmark
	site, err := sites.Open(ctx, name, sites.Settings{Dir: dir, Postgres: uri})
	must(tb, err)
	postgresSites[name] = site
	load.Run(postgresClients, load.Times(postgresSessions), func(int) error {
		_, err := load.NewClient(site).Do(ctx, "POST", "/incr")
		return err
	})
	must(tb, pgserver.Analyze(ctx, uri))
	return site
}

func closePostgres() error {
	var errs []error
	for _, site := range postgresSites {
		errs = append(errs, site.Close())
	}
	for _, dir := range postgresDirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	if server.Server != nil {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// BenchmarkPostgres is a session read and a write by 16 clients (row 9). Those of the peers that make transactions give up some.
func BenchmarkPostgres(b *testing.B) {
	for _, work := range []struct{ name, method, path string }{{"read", "GET", "/read"}, {"incr", "POST", "/incr"}} {
		b.Run("work="+work.name, func(b *testing.B) {
			each(b, []string{
				sites.PastelinePostgres, sites.SCSPostgres, sites.SCSPostgresTx, sites.PgxSerializable, sites.CockroachRetry,
			}, func(b *testing.B, name string) {
				b.Helper()
				site := postgresSite(b, name)
				all := make([]*load.Client, postgresClients)
				for i := range all {
					all[i] = load.NewClient(site)
					for all[i].Cookie() == "" { // the first attempts of some peers fail
						_, _ = all[i].Do(b.Context(), "POST", "/incr")
					}
				}
				b.ResetTimer()
				stats := load.Run(postgresClients, load.Times(b.N), func(client int) error {
					_, err := all[client].Do(b.Context(), work.method, work.path)
					return err
				})
				b.StopTimer()
				reportAll(b, stats)
				b.ReportMetric(float64(stats.Done)/float64(stats.Done+stats.Failed), "succeeded")
			})
		})
	}
}

// BenchmarkSweep is what the plots show: throughput and latency against the number of clients. It runs if -clients is given.
func BenchmarkSweep(b *testing.B) {
	if *sweep == "" {
		b.Skip("no -clients")
	}
	for _, work := range []struct {
		name  string
		sites []string
		run   func(b *testing.B, name string, clients int)
	}{
		{
			"read",
			[]string{sites.Pasteline, sites.BoltGroup, sites.SCSMemory, sites.SCSBoltIdle},
			func(b *testing.B, name string, clients int) {
				b.Helper()
				clientsOf(b, name, clients, "GET", "/read")
			},
		},
		{
			"incr",
			[]string{sites.Pasteline, sites.BoltGroup, sites.BoltUpdate, sites.SCSBolt},
			func(b *testing.B, name string, clients int) {
				b.Helper()
				clientsOf(b, name, clients, "POST", "/incr")
			},
		},
		{"one", []string{sites.Pasteline, sites.BoltGroup, sites.SCSBolt}, oneSession},
	} {
		for text := range strings.SplitSeq(*sweep, ",") {
			clients, err := strconv.Atoi(text)
			must(b, err)
			b.Run(fmt.Sprintf("work=%s/clients=%d", work.name, clients), func(b *testing.B) {
				each(b, work.sites, func(b *testing.B, name string) {
					b.Helper()
					work.run(b, name, clients)
				})
			})
		}
	}
}

// Every site counts, and says so; those that promise it count right when everybody counts at once.
func TestSitesCount(t *testing.T) {
	for _, name := range sites.Names() {
		if name == sites.Chi || name == sites.Hand {
			continue
		}
		t.Run(name, func(t *testing.T) {
			site := open(t, name)
			clients := browsers(t, site, 2)
			for want := 2; want <= 5; want++ {
				response, err := clients[0].Do(t.Context(), "POST", "/incr")
				must(t, err)
				if got := string(response.Body); got != strconv.Itoa(want) {
					t.Errorf("increment: got %s, want %d", got, want)
				}
			}
			for i, want := range []string{"5", "1"} {
				response, err := clients[i].Do(t.Context(), "GET", "/read")
				must(t, err)
				if got := string(response.Body); got != want {
					t.Errorf("client %d reads %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestSitesLoseNothing(t *testing.T) {
	for _, name := range []string{sites.Pasteline, sites.BoltGroup, sites.BoltUpdate} {
		t.Run(name, func(t *testing.T) {
			site := open(t, name)
			first := browsers(t, site, 1)[0]
			const clients, each = 8, 20
			all := make([]*load.Client, clients)
			for i := range all {
				all[i] = first.Clone()
			}
			stats := load.Run(clients, load.Times(clients*each), func(client int) error {
				_, err := all[client].Do(t.Context(), "POST", "/incr")
				return err
			})
			response, err := first.Do(t.Context(), "GET", "/read")
			must(t, err)
			if got, want := string(response.Body), strconv.Itoa(1+stats.Done); got != want {
				t.Errorf("got %s, want %s; %d failed: %v", got, want, stats.Failed, stats.Err)
			}
		})
	}
}
