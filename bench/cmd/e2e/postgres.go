package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/pgserver"
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/bench/slowproxy"
)

const (
	postgresClients = 16
	networkDelay    = 500 * time.Microsecond // in each direction
)

var postgresPrograms = []string{
	sites.PastelinePostgres, sites.SCSPostgres, sites.PgxSerializable,
}

// postgres measures the programs with a PostgreSQL server.
func (b *bench) postgres(ctx context.Context) (err error) {
	db, err := pgserver.Start(ctx)
	if errors.Is(err, pgserver.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, "e2e: postgres is skipped:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	dir, remove, err := tempDir(&err)
	if err != nil {
		return err
	}
	defer remove()
	p := postgresBench{bench: b, uri: db.URI}
	settings := sites.Settings{Dir: dir, Postgres: db.URI, Ini: alwaysFirst}
	p.filled, err = b.fill(ctx, sites.PastelinePostgres, settings, postgresClients, b.visitors/4)
	if err != nil {
		return err
	}
	// The tables of the peers are filled when they are opened.
	for _, name := range postgresPrograms[1:] {
		how := setup{postgres: db.URI}
		if err := b.with(ctx, name, how, func(*server) error { return nil }); err != nil {
			return err
		}
	}
	if err := pgserver.Analyze(ctx, db.URI); err != nil {
		return err
	}
	for round := range b.count {
		if err := p.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

type postgresBench struct {
	*bench
	uri    string
	filled *filled // of Pasteline
}

func (p postgresBench) round(ctx context.Context, round int) error {
	if err := p.trips(ctx); err != nil {
		return fmt.Errorf("round trips: %w", err)
	}
	for _, processes := range []int{1, 3} {
		for _, name := range []string{sites.PastelinePostgres, sites.PgxSerializable} {
			if err := p.one(ctx, name, processes); err != nil {
				return fmt.Errorf("%s, %d processes: %w", name, processes, err)
			}
		}
	}
	for _, name := range postgresPrograms {
		if err := p.far(ctx, round, name); err != nil {
			return fmt.Errorf("%s, with a delay: %w", name, err)
		}
	}
	return nil
}

// behind calls f with a program that talks to the server through a proxy.
func (p postgresBench) behind(
	ctx context.Context, name string, delay time.Duration, how setup,
	f func(*server, *slowproxy.Proxy) error,
) (err error) {
	uri, err := url.Parse(p.uri)
	if err != nil {
		return err
	}
	const defaultPort = "5432"
	target := net.JoinHostPort(uri.Hostname(), cmp.Or(uri.Port(), defaultPort))
	proxy, err := slowproxy.Start(ctx, target, delay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	uri.Host = proxy.Addr()
	how.postgres = uri.String()
	return p.with(ctx, name, how, func(s *server) error { return f(s, proxy) })
}

// trips counts the round trips between the program and the server, with reads that are the first in
// their slice, and with reads inside of it.
func (p postgresBench) trips(ctx context.Context) error {
	f := p.filled
	for _, c := range []struct {
		slice    string
		settings []string
		reads    reader
	}{
		{"new", alwaysFirst, p.firstReads},
		{"same", neverFirst, p.reads},
	} {
		how := setup{dir: f.dir, settings: c.settings}
		run := func(s *server, proxy *slowproxy.Proxy) error {
			// Reads in several slices, and increments, have the pool open its connections and
			// prepare its statements.
			own, err := s.browsers(ctx, 2*postgresClients)
			if err != nil {
				return err
			}
			const slices = 3
			_, err = s.drive(ctx, postgresClients, slices*firstPeriod, own, mixed)
			if err != nil {
				return err
			}
			var before int64
			r, err := c.reads(ctx, s, postgresClients, f, func() { before = proxy.Trips() })
			if err != nil {
				return err
			}
			trips := float64(proxy.Trips()-before) / float64(r.requests)
			return r.line(p.w, "PostgresFirst/slice="+c.slice+"/who="+s.name,
				load.Metric{Value: trips, Unit: "trips/op"})
		}
		if err := p.behind(ctx, sites.PastelinePostgres, 0, how, run); err != nil {
			return err
		}
	}
	return nil
}

// one has all connections increment one session, divided among some processes.
func (p postgresBench) one(ctx context.Context, name string, processes int) (err error) {
	servers := make([]*server, processes)
	for i := range servers {
		if servers[i], err = p.start(ctx, name, setup{postgres: p.uri}); err != nil {
			return err
		}
		defer servers[i].stop(&err)
	}
	from, err := servers[0].browsers(ctx, 1)
	if err != nil {
		return err
	}
	drive := func(d time.Duration) (result, error) {
		runs, errs := make([]result, processes), make([]error, processes)
		var running sync.WaitGroup
		for i, s := range servers {
			share := clients*(i+1)/processes - clients*i/processes
			running.Go(func() { runs[i], errs[i] = s.wrk(ctx, share, d, from, incr) })
		}
		running.Wait()
		return together(runs), errors.Join(errs...)
	}
	if _, err := drive(p.warm); err != nil {
		return err
	}
	line := fmt.Sprintf("PostgresOneSession/processes=%d/who=%s", processes, name)
	return p.counted(ctx, servers[0], line, from, func() (result, error) {
		return drive(p.duration)
	})
}

// together returns the sum of runs at the same time: the slowest of their latencies.
func together(runs []result) result {
	var all result
	for _, r := range runs {
		all.connections += r.connections
		all.requests += r.requests
		all.failed += r.failed
		all.broken += r.broken
		all.elapsed = max(all.elapsed, r.elapsed)
		all.p50, all.p99 = max(all.p50, r.p50), max(all.p99, r.p99)
		all.p999, all.longest = max(all.p999, r.p999), max(all.longest, r.longest)
	}
	return all
}

// far measures a program whose database is behind a network with a delay.
func (p postgresBench) far(ctx context.Context, round int, name string) error {
	lineOf := func(w work) string {
		return fmt.Sprintf("PostgresDelay/work=%s/clients=%d/who=%s", w.name, postgresClients, name)
	}
	if !wanted(round, lineOf(read)) {
		return nil
	}
	return p.behind(ctx, name, networkDelay, setup{}, func(s *server, _ *slowproxy.Proxy) error {
		from, err := s.browsers(ctx, p.browsers)
		if err != nil {
			return err
		}
		for _, w := range []work{read, incr} {
			if _, err := s.wrk(ctx, postgresClients, p.warm, from, w); err != nil {
				return err
			}
			if err := p.measure(ctx, s, lineOf(w), postgresClients, from, w); err != nil {
				return err
			}
		}
		return nil
	})
}
