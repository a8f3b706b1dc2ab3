package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

// A cluster is the tutorial's site on several machines: processes that share a database in
// PostgreSQL, and a load balancer, which is its door.
type cluster struct {
	door
	sites    []*site
	balancer balancer
}

// newCluster starts three processes at once.
func newCluster(t *testing.T, uri string) *cluster {
	t.Helper()
	ini := onPostgres(tutorial(t), uri)
	c := &cluster{door: door{t: t, client: newClient()}, sites: make([]*site, 3)}
	for i := range c.sites {
		c.sites[i] = makeSite(t, "serve", ini)
		c.sites[i].launch()
	}
	c.balancer.backends = make([]atomic.Pointer[string], len(c.sites))
	for i := range c.sites {
		c.listens(i)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "site"})
			r.SetXForwarded()
		},
		Transport: &c.balancer,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	})
	t.Cleanup(server.Close)
	c.base = server.URL
	return c
}

// listens waits until a process listens, and lets the balancer know where.
func (c *cluster) listens(i int) {
	c.t.Helper()
	c.sites[i].listens()
	c.balancer.backends[i].Store(new(strings.TrimPrefix(c.sites[i].base, "http://")))
}

// stop ends all processes, and expects that they end well.
func (c *cluster) stop() {
	c.t.Helper()
	for _, s := range c.sites {
		s.signal(os.Interrupt)
	}
	for _, s := range c.sites {
		s.endedWell()
	}
}

// A balancer sends requests to one backend after the other.
type balancer struct {
	backends []atomic.Pointer[string] // such as 127.0.0.1:41234
	turn     atomic.Uint32
	direct   http.Transport
}

// RoundTrip goes on to the next backend if one refuses the connection. Nothing else is tried again:
// a request that was sent may have been done. Requests have no body here, so it can't be half read.
func (b *balancer) RoundTrip(r *http.Request) (response *http.Response, err error) {
	for range b.backends {
		r = r.Clone(r.Context())
		r.URL.Host = *b.backends[int(b.turn.Add(1))%len(b.backends)].Load()
		response, err = b.direct.RoundTrip(r)
		if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != "dial" {
			break
		}
	}
	return response, err
}

// No update is lost when 64 clients change one thing at once, whichever process each request comes
// to.
func TestNoUpdateIsLostInACluster(t *testing.T) { //nolint:tparallel // one crowd after the other: each is load enough
	t.Parallel()
	c := newCluster(t, pgtest.Database(t))
	noUpdateIsLost(t, &c.door, sized(32, 64))
	c.stop()
}

// A stampede is a crowd that adds to two counters until it is called off.
type stampede struct {
	t        *testing.T
	ada      *visitor
	counters []*watched
	inDoubt  atomic.Int64 // answers that say that it is not known what became of a request
	callOff  context.CancelFunc
	running  sync.WaitGroup
}

// newStampede starts a crowd. Whoever is told to come back later does, and whoever does not learn
// what became of a request sends the next.
func newStampede(t *testing.T, d *door, clients int) *stampede {
	t.Helper()
	ctx, callOff := context.WithCancel(t.Context())
	s := &stampede{t: t, ada: d.newVisitor(), callOff: callOff, counters: []*watched{
		{name: "session", incr: "/incr", read: "/read"},
		{name: "shared", incr: "/shared/incr", read: "/shared"},
	}}
	for i := range clients {
		w, v := s.counters[i%len(s.counters)], *s.ada
		s.running.Go(func() {
			for ctx.Err() == nil {
				got, err := w.add(t, &v)
				switch {
				case err != nil:
					t.Errorf("the load balancer: %v", err)
					return
				case got.status == http.StatusOK:
				case got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") !=
					"", got.status == http.StatusBadGateway:
					<-time.After(10 * time.Millisecond)
				case got.status == http.StatusInternalServerError:
					s.inDoubt.Add(1)
				default:
					t.Errorf("%s: got %d %q", w.incr, got.status, got.body)
					return
				}
			}
		})
	}
	t.Cleanup(s.running.Wait)
	t.Cleanup(callOff)
	return s
}

// goesOn waits until n more requests have been acknowledged for each counter.
func (s *stampede) goesOn(n int64) {
	s.t.Helper()
	deadline := time.Now().Add(startLimit)
	for _, w := range s.counters {
		for want := w.answers.Load() + n; w.answers.Load() < want; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) || s.t.Failed() {
				s.t.Fatalf("%s: %d of %d more requests were not acknowledged", w.incr,
					want-w.answers.Load(), n)
			}
		}
	}
}

// ends calls it off, compares what was counted with what was acknowledged, and stops the processes.
// No request failed for another reason than that its commit was in doubt.
func (s *stampede) ends(c *cluster) {
	s.t.Helper()
	s.callOff()
	s.running.Wait()
	for _, w := range s.counters {
		w.check(s.t, s.ada)
		w.log(s.t)
	}
	c.stop()
	logged := 0
	for _, site := range c.sites {
		logged += strings.Count(site.logText(), `status=500 error="transaction: in doubt`)
	}
	if got := int(s.inDoubt.Load()); got != logged {
		s.t.Errorf("got 500 %d times; according to the logs, %d commits were in doubt", got, logged)
	}
	s.t.Logf("in doubt: %d", logged)
}

// kill -9 of one process after another under load loses nothing that was acknowledged, gives no
// number out twice, and does not keep the others from going on.
func TestKilledInACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, pgtest.Database(t))
	crowd := newStampede(t, &c.door, 8)
	for i := range sized(1, 2) * len(c.sites) {
		crowd.goesOn(20)
		s := c.sites[i%len(c.sites)]
		s.kill()
		crowd.goesOn(20)
		s.launch()
		c.listens(i % len(c.sites))
	}
	crowd.ends(c)
}

// So does the loss of the database: its server is killed, and started again, under load.
func TestDatabaseKilledUnderACluster(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off")) // by a kill that loses nothing
	c := newCluster(t, server.CreateDatabase(t))
	crowd := newStampede(t, &c.door, 8)
	for range sized(1, 3) {
		crowd.goesOn(20)
		server.Kill()
		server.Start()
	}
	crowd.goesOn(20)
	server.Stop()
	server.Start()
	crowd.goesOn(20)
	crowd.ends(c)
}

// So does the loss of connections: all are cut, again and again.
func TestConnectionsCutUnderACluster(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	c := newCluster(t, uri)
	conn := connect(t, uri)
	crowd := newStampede(t, &c.door, 8)
	for range sized(8, 25) {
		crowd.goesOn(2)
		_, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity `+
			`WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if err != nil {
			t.Fatal(err)
		}
	}
	crowd.goesOn(20)
	crowd.ends(c)
}
