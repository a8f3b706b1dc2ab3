package bench_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
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
	sweep = flag.String("clients", "",
		"numbers of clients for the plots, such as 1,2,4,8: BenchmarkSweep runs with each")
	judged = flag.Bool("judged", false,
		"only those benchmarks that have a bound in the table; the others need fewer samples")
)

// server is the PostgreSQL server that all benchmarks share; it is started by the first that needs
// one.
var server struct {
	once sync.Once
	*pgserver.Server
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	// All contenders are in one process, and so have the same ballast: that of serve.
	ballast := sites.Ballast()
	code := m.Run()
	runtime.KeepAlive(ballast)
	if err := closePostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func postgresURI(tb testing.TB) string {
	tb.Helper()
	server.once.Do(func() { server.Server, server.err = pgserver.Start(context.Background()) })
	if errors.Is(server.err, pgserver.ErrNotInstalled) &&
		os.Getenv("PASTELINE_REQUIRE_SERVICES") == "" {
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

// open opens a site in an empty folder. Pasteline gets further settings.
func open(tb testing.TB, name string, ini ...string) *sites.Site {
	tb.Helper()
	settings := sites.Settings{Dir: tb.TempDir(), Ini: ini}
	if sites.NeedsPostgres(name) {
		settings.Postgres = postgresURI(tb)
	}
	site, err := sites.Open(tb.Context(), name, settings)
	must(tb, err)
	tb.Cleanup(func() { must(tb, site.Close()) })
	return site
}

// browsers returns n clients, each with its own session.
func browsers(tb testing.TB, site *sites.Site, n int) []*load.Client {
	tb.Helper()
	clients, err := sites.Visitors(tb.Context(), site, min(n, 64), n)
	must(tb, err)
	return clients
}

// report adds the figures that package testing does not report.
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
	b.ReportMetric(float64(stats.P999.Nanoseconds()), "p99.9-ns")
	b.ReportMetric(float64(stats.Max.Nanoseconds()), "max-ns")
}

// each runs a benchmark for each contender, one directly after the other.
func each(b *testing.B, names []string, bench func(b *testing.B, name string)) {
	b.Helper()
	for _, name := range names {
		contender(b, name, func(b *testing.B) {
			b.Helper()
			b.ReportAllocs()
			bench(b, name)
		})
	}
}

// contender runs a benchmark for one contender. With -judged it skips one without a bound.
func contender(b *testing.B, name string, bench func(b *testing.B)) {
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

// BenchmarkRead measures a request that reads a session.
func BenchmarkRead(b *testing.B) {
	each(b, []string{
		sites.Pasteline, sites.SCSMemory, sites.SCSMemIdle, sites.SCSBolt, sites.SCSBoltIdle,
		sites.BoltUpdate, sites.GorillaCookie, sites.GorillaFilesystem,
	}, func(b *testing.B, name string) {
		b.Helper()
		clientsOf(b, name, 1, "GET", "/read")
	})
}

// BenchmarkIncr measures a request that writes durably, each client to its own session.
func BenchmarkIncr(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			names := []string{
				sites.Pasteline, sites.BoltGroup, sites.BoltUpdate, sites.SCSBoltTuned,
				sites.SCSBolt,
				sites.SCSBoltIdle,
			}
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

// oneSession runs b.N increments of one session, and counts those that were acknowledged and lost.
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

// BenchmarkOneSession measures 64 clients that all increment one session.
func BenchmarkOneSession(b *testing.B) {
	b.Run("clients=64", func(b *testing.B) {
		names := []string{sites.Pasteline, sites.SCSBolt, sites.SCSMemory, sites.BoltGroup}
		each(b, names, func(b *testing.B, name string) {
			b.Helper()
			oneSession(b, name, 64)
		})
	})
}

// BenchmarkKeys measures reading and changing one key of a session with several keys of 1 kB.
func BenchmarkKeys(b *testing.B) {
	for _, keys := range []int{1, 10, 100} {
		for _, work := range []struct{ name, method string }{{"read", "GET"}, {"change", "POST"}} {
			b.Run(fmt.Sprintf("keys=%d/work=%s", keys, work.name), func(b *testing.B) {
				each(b, []string{sites.Pasteline, sites.SCSBolt}, func(b *testing.B, name string) {
					b.Helper()
					client := load.NewClient(open(b, name, "max_size = 1MB"))
					for key := range keys {
						_, err := client.Do(b.Context(), "POST", "/value/"+strconv.Itoa(key))
						must(b, err)
					}
					last := "/value/" + strconv.Itoa(keys-1)
					for b.Loop() {
						_, err := client.Do(b.Context(), work.method, last)
						must(b, err)
					}
					response, err := client.Do(b.Context(), "GET", last)
					must(b, err)
					if response.Size != sites.ValueSize {
						b.Fatalf("got %d bytes, want %d", response.Size, sites.ValueSize)
					}
				})
			})
		}
	}
}

// postgresSites are open from their first benchmark to the end. They have so many sessions that the
// server uses its indexes: on a table of a few rows it does not, and then reports conflicts between
// unrelated transactions.
var (
	postgresSites = map[string]*sites.Site{}
	postgresDirs  []string
)

const postgresClients = 16

func postgresSite(tb testing.TB, name string) *sites.Site {
	tb.Helper()
	if site := postgresSites[name]; site != nil {
		return site
	}
	uri := postgresURI(tb)
	dir, err := os.MkdirTemp("", "pasteline-bench-") //nolint:usetesting // it is kept
	must(tb, err)
	postgresDirs = append(postgresDirs, dir)
	ctx := context.Background() // it outlives this benchmark
	site, err := sites.Open(ctx, name, sites.Settings{Dir: dir, Postgres: uri})
	must(tb, err)
	postgresSites[name] = site
	if name == sites.PastelinePostgres {
		_, err := sites.Visitors(ctx, site, postgresClients, sites.TableSessions)
		must(tb, err)
	}
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

// BenchmarkPostgres measures a session read and a write by 16 clients.
func BenchmarkPostgres(b *testing.B) {
	for _, work := range []struct{ name, method, path string }{
		{"read", "GET", "/read"}, {"incr", "POST", "/incr"},
	} {
		b.Run("work="+work.name, func(b *testing.B) {
			each(b, []string{
				sites.PastelinePostgres, sites.SCSPostgres, sites.SCSPostgresTx,
				sites.PgxSerializable, sites.CockroachRetry,
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

// BenchmarkSweep measures throughput and latency against the number of clients, for the plots. It
// runs if -clients is given.
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

// TestSitesCount tests that every site counts for each browser, and returns the sum.
func TestSitesCount(t *testing.T) {
	for _, name := range sites.Names() {
		if !sites.Counts(name) {
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

// TestSitesLoseNothing tests that the sites that promise it lose no increment of concurrent
// clients.
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

// TestSignedCookies tests that the sites that sign their cookie, by hand or not, have one of the
// same name and length, and accept no other.
func TestSignedCookies(t *testing.T) {
	cookies := map[string]string{}
	for _, name := range []string{sites.Pasteline, sites.BoltGroup, sites.BoltUpdate, sites.Hand} {
		client := load.NewClient(open(t, name))
		_, err := client.Do(t.Context(), "GET", "/hello")
		must(t, err)
		cookies[name] = client.Cookie()
		field, _, _ := strings.Cut(cookies[name], "=")
		want, _, _ := strings.Cut(cookies[sites.Pasteline], "=")
		if field != want || len(cookies[name]) != len(cookies[sites.Pasteline]) {
			t.Errorf("%s: got the cookie %s, want one like %s", name, cookies[name],
				cookies[sites.Pasteline])
		}
		r := client.Request(t.Context(), "GET", "/hello")
		for _, forged := range []bool{false, true} {
			if forged {
				r = r.Clone(t.Context())
				r.Header.Set("Cookie", cookies[name][:len(cookies[name])-2]+"xx")
			}
			w := load.NewResponse()
			client.Handler().ServeHTTP(w, r)
			if issued := w.Header()["Set-Cookie"] != nil; issued != forged {
				t.Errorf("%s: forged: %v; got a new cookie: %v", name, forged, issued)
			}
		}
	}
}
