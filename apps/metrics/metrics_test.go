package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pasteline/pasteline/apps/metrics"
	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
)

// site has the app of the tutorial and the metrics, which all clients may read.
const site = `
[composite:main]
use = egg:Paste#urlmap
/ = site
/metrics = metrics
[app:metrics]
use = egg:pasteline#metrics
allow = *
[pipeline:site]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm myapp
[app:myapp]
use = egg:myapp#app
zodb_uri = URI
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a
`

// register adds what the site needs.
func register(r *pipeline.Registry) {
	for _, f := range []func(*pipeline.Registry){
		metrics.Register, myapp.Register, urlmap.Register, browserid.Register, retry.Register,
		tm.Register,
	} {
		f(r)
	}
	bolt.Register(r.Opener())
	memory.Register(r.Opener())
	postgres.Register(r.Opener())
}

// load loads a site.
func load(t *testing.T, r *pipeline.Registry, ini string) *pipeline.Pipeline {
	t.Helper()
	p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: r, NoJobs: true,
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// newSite loads the site with a database.
func newSite(t *testing.T, uri string) *pipeline.Pipeline {
	t.Helper()
	r := pipeline.NewRegistry()
	register(r)
	return load(t, r, strings.Replace(site, "URI", uri, 1))
}

func do(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// A scrape is what the app shows, by the names of the metrics.
type scrape map[string]*dto.MetricFamily

func scrapeOf(t *testing.T, h http.Handler) scrape {
	t.Helper()
	w := do(h, http.MethodGet, "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(w.Body.String()))
	if w.Code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v in\n%s", w.Code, err, w.Body)
	}
	return families
}

// sum adds the values of all metrics of a name that have the given labels, "name=value". Of a
// histogram it adds the counts.
func (s scrape) sum(name string, labels ...string) (sum float64) {
	for _, m := range s[name].GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !has[l] }) {
			continue
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() +
			float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

// values returns the values of a label.
func (s scrape) values(name, label string) []string {
	seen := map[string]bool{}
	for _, m := range s[name].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label {
				seen[l.GetValue()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// The names and helps follow the rules of Prometheus.
func TestNames(t *testing.T) {
	t.Parallel()
	p := newSite(t, "bolt://"+t.TempDir()+"/data.db")
	do(p, http.MethodPost, "/shared/incr")
	problems, err := promlint.New(do(p, http.MethodGet, "/metrics").Body).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// A client chooses between the two formats.
func TestFormats(t *testing.T) {
	t.Parallel()
	p := newSite(t, "memory://formats")
	get := func(accept string) (header http.Header, body string) {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Header(), w.Body.String()
	}
	get("") // so that one request is counted
	header, text := get("")
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") ||
		!strings.Contains(text, "\npasteline_http_requests_total{") ||
		header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v\n%s", header, text)
	}
	header, text = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") ||
		!strings.Contains(text, "\n# TYPE pasteline_http_requests counter\n") ||
		!strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("got %v\n%s", header, text)
	}
	if w := do(p, http.MethodPost, "/metrics"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", w.Code)
	}
}

// A tally is a listener that counts by itself.
type tally struct {
	requests, attempts, conflicts, lost atomic.Int64
}

func (c *tally) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}

func (c *tally) RequestEnd(_ context.Context, f observe.RequestEnd) {
	if f.Method != http.MethodPost {
		return
	}
	c.requests.Add(1)
	c.attempts.Add(int64(f.Attempts))
	c.conflicts.Add(int64(f.Conflicts))
	if f.Outcome == observe.Conflicted {
		c.lost.Add(1)
	}
}

// Many clients change one session at the same time. Their own counts, those of another listener,
// the value in the session and the metrics are equal.
func TestCountsUnderLoad(t *testing.T) {
	t.Parallel()
	const clients, each = 64, 8
	r := pipeline.NewRegistry()
	register(r)
	var own tally
	pipeline.Filter(r, "egg:test#tally",
		func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
			b.Observe(&own)
			return func(next http.Handler) http.Handler { return next }, nil
		})
	p := load(t, r, strings.NewReplacer("URI", "bolt://"+t.TempDir()+"/data.db",
		"pipeline = ", "pipeline = egg:test#tally ").Replace(site))
	server := httptest.NewServer(p)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	post := func() int {
		response, err := client.Post(server.URL+"/incr", "", nil)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	if got := post(); got != http.StatusOK { // begins the session
		t.Fatalf("got %d", got)
	}
	var done sync.WaitGroup
	var ok, unavailable atomic.Int64
	ok.Add(1)
	for range clients {
		done.Go(func() {
			for range each {
				switch got := post(); got {
				case http.StatusOK:
					ok.Add(1)
				case http.StatusServiceUnavailable:
					unavailable.Add(1)
				default:
					t.Errorf("got %d", got)
				}
			}
		})
	}
	done.Wait()
	response, err := client.Get(server.URL + "/read")
	if err != nil {
		t.Fatal(err)
	}
	value, _ := io.ReadAll(response.Body)
	response.Body.Close()

	s := scrapeOf(t, p)
	posts := []string{"app=myapp", "route=/incr", "method=POST"}
	requests := func(more ...string) float64 {
		return s.sum("pasteline_http_requests_total", slices.Concat(posts, more)...)
	}
	conflicts := s.sum("pasteline_conflicts_total")
	attempts := s.sum("pasteline_attempts_total") - 1 // that of /read
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"requests", requests(), clients*each + 1},
		{"requests of the other listener", requests(), float64(own.requests.Load())},
		{"200", requests("status=200", "outcome=committed"), float64(ok.Load())},
		{"503", requests("status=503", "outcome=conflict"), float64(unavailable.Load())},
		{"lost requests", requests("outcome=conflict"), float64(own.lost.Load())},
		{
			"durations", s.sum("pasteline_http_request_duration_seconds", posts...),
			clients*each + 1,
		},
		{"attempts", attempts, float64(own.attempts.Load())},
		{"lost attempts", s.sum("pasteline_attempts_total", "outcome=conflict"), conflicts},
		{"conflicts", conflicts, float64(own.conflicts.Load())},
		{
			"attempts by outcome", attempts,
			s.sum("pasteline_attempts_total", "outcome=committed") - 1 + conflicts,
		},
		{
			"commits", s.sum("pasteline_commit_duration_seconds", "result=committed"),
			s.sum("pasteline_attempts_total", "outcome=committed"),
		},
		{"sessions", s.sum("pasteline_sessions_begun_total"), 1},
		{"in flight", s.sum("pasteline_http_requests_in_flight"), 1}, // the scrape
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if got, want := string(value), fmt.Sprint(ok.Load()); got != want {
		t.Errorf("the session has %s, want %s", got, want)
	}
	t.Logf("%v attempts, %v conflicts, %v waits in the queue", attempts, conflicts,
		s.sum("pasteline_queue_wait_seconds"))
	if s.sum("pasteline_commit_group_size") == 0 || s.sum("pasteline_database_file_size_bytes") == 0 {
		t.Error("the database tells nothing")
	}
}

// Values that clients choose make no labels: neither methods, nor paths.
func TestLabels(t *testing.T) {
	t.Parallel()
	p := newSite(t, "memory://labels")
	for i := range 50 {
		do(p, fmt.Sprintf("METHOD%d", i), fmt.Sprintf("/nothing/%d?q=%d", i, i))
		do(p, http.MethodGet, fmt.Sprintf("/nothing/%d", i))
	}
	s := scrapeOf(t, p)
	const name = "pasteline_http_requests_total"
	if got := s.values(name, "method"); !slices.Equal(got, []string{"GET", "other"}) {
		t.Errorf("methods: got %q", got)
	}
	for _, route := range s.values(name, "route") {
		if strings.Contains(route, "nothing") {
			t.Errorf("the path %q is a route", route)
		}
	}
	if got := s.sum(name, "method=other"); got != 50 {
		t.Errorf("got %v requests with other methods, want 50", got)
	}
}

// A program that makes routes and buckets from its data makes a limited number of labels. Text that
// is not UTF-8 is shown nonetheless.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	register(r)
	pipeline.App(r, "egg:test#many", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen := observe.FromContext(r.Context())
			name := r.URL.Path + "\xff"
			seen.SetRoute("many", name)
			seen.Conflicted(r.Context(), observe.Conflict{DB: "db", Bucket: name})
			seen.Decided(r.Context(), observe.Decision{Outcome: "unheard of"})
			w.WriteHeader(999)
		}), nil
	})
	p := load(t, r, strings.Replace(site, "/ = site", "/ = egg:test#many", 1))
	const requests = 1500
	for i := range requests {
		do(p, http.MethodGet, fmt.Sprintf("/%d", i))
	}
	s := scrapeOf(t, p)
	if got := len(s.values("pasteline_http_requests_total", "route")); got > 1001 || got < 1000 {
		t.Errorf("got %d routes", got)
	}
	if got := len(s.values("pasteline_conflicts_total", "bucket")); got > 201 || got < 200 {
		t.Errorf("got %d buckets", got)
	}
	if got := s.sum("pasteline_http_requests_total", "status=other", "outcome=other"); got != requests {
		t.Errorf("got %v requests, want %d", got, requests)
	}
	if got := s.sum("pasteline_conflicts_total"); got != requests {
		t.Errorf("got %v conflicts, want %d", got, requests)
	}
}

// Counters go on over a reload, and a request counts once however many sections show them.
func TestReload(t *testing.T) {
	t.Parallel()
	ini := strings.NewReplacer("URI", "memory://reload",
		"/metrics = metrics", "/metrics = metrics\n/again = again\n[app:again]\n"+
			"use = egg:pasteline#metrics\nallow = *\n").Replace(site)
	first := pipeline.NewRegistry()
	register(first)
	before := load(t, first, ini)
	do(before, http.MethodGet, "/hello")
	second := first.Renew()
	register(second)
	after := load(t, second, ini)
	do(after, http.MethodGet, "/hello")
	do(before, http.MethodGet, "/hello") // a request that the old pipeline still answers
	for _, p := range []*pipeline.Pipeline{before, after} {
		got := scrapeOf(t, p).sum("pasteline_http_requests_total", "app=myapp")
		if got != 3 {
			t.Errorf("got %v requests, want 3", got)
		}
	}
	if w := do(after, http.MethodGet, "/again"); !strings.Contains(w.Body.String(), "pasteline_") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// The app is not for the public.
func TestGuard(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	register(r)
	p := load(t, r, strings.NewReplacer("URI", "memory://guard",
		"allow = *", "token = 0123456789abcdef").Replace(site))
	get := func(change func(*http.Request)) int {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost"
		change(r)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code
	}
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"local":     {func(*http.Request) {}, 200},
		"elsewhere": {func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, 403},
		"a proxy":   {func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, 403},
		"the token": {func(r *http.Request) {
			r.RemoteAddr = "192.0.2.1:1"
			r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		}, 200},
	} {
		if got := get(tt.change); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
	_, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: r, ReadFile: func(string) ([]byte, error) {
			return []byte("[app:main]\nuse = egg:pasteline#metrics\nallow = nowhere\n"), nil
		},
	})
	if err == nil || !strings.Contains(err.Error(), "site.ini:3: [app:main] allow = ") {
		t.Errorf("got %v", err)
	}
}

// A measured is an engine that measures its database.
type measured struct{ engine.Engine }

func (measured) Close() error { return nil }

func (measured) Gauges() map[string]float64 {
	return map[string]float64{"size_bytes": 7, "hits_total": 3, "Not A Name": 1}
}

// Neither the password of a database nor anything that a client sends is shown.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	register(r)
	r.Engine("measured", func(context.Context, *url.URL) (engine.Engine, error) {
		return measured{}, nil
	})
	type settings struct{ URI string }
	pipeline.App(r, "egg:test#app", func(b *pipeline.Build, s settings) (http.Handler, error) {
		_, err := b.Storage(s.URI)
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx, seen := r.Context(), observe.FromContext(r.Context())
			err := errors.New("xyzzy")
			seen.Conflicted(ctx, observe.Conflict{DB: "db", Bucket: "b", Key: "xyzzy", Err: err})
			seen.StatementEnd(ctx, observe.Statement{DB: "db", SQL: "SELECT 'xyzzy'", Err: err})
			seen.CommitEnd(ctx, observe.CommitEnd{Err: err})
			panic("xyzzy")
		}), err
	})
	p := load(t, r, strings.Replace(site, "/ = site", "/ = app", 1)+
		"[app:app]\nuse = egg:test#app\nuri = measured://site:xyzzy@host/db?password=xyzzy\n")
	func() {
		defer func() { _ = recover() }()
		request := httptest.NewRequest("XYZZY", "/xyzzy?xyzzy=xyzzy", strings.NewReader("xyzzy"))
		request.Header.Set("Cookie", "xyzzy=xyzzy")
		request.Host = "xyzzy"
		p.ServeHTTP(httptest.NewRecorder(), request)
	}()
	text := do(p, http.MethodGet, "/metrics").Body.String()
	if strings.Contains(strings.ToLower(text), "xyzzy") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	s := scrapeOf(t, p)
	if s.sum("pasteline_database_size_bytes") != 7 || s.sum("pasteline_database_hits_total") != 3 ||
		s["pasteline_database_hits_total"].GetType() != dto.MetricType_COUNTER ||
		s.sum("pasteline_http_request_panics_total") != 1 ||
		s.sum("pasteline_sql_statement_errors_total") != 1 ||
		s.sum("pasteline_commit_duration_seconds", "result=failed") != 1 {
		t.Errorf("got\n%s", text)
	}
}

// The pool and the server of a PostgreSQL database are measured.
func TestPostgres(t *testing.T) {
	t.Parallel()
	p := newSite(t, pgtest.Database(t)+"&pool_max_conns=7")
	do(p, http.MethodPost, "/shared/incr")
	s := scrapeOf(t, p)
	if s.sum("pasteline_database_pool_connections_max") != 7 ||
		s.sum("pasteline_database_pool_acquires_total") == 0 ||
		s.sum("pasteline_database_predicate_locks_capacity") == 0 ||
		s.sum("pasteline_sql_statement_duration_seconds") == 0 {
		t.Errorf("got\n%s", do(p, http.MethodGet, "/metrics").Body)
	}
}

// The state of the site is shown.
func TestSite(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	register(r)
	state := new(status.Site)
	status.Register(r, state)
	p := load(t, r, strings.Replace(site, "URI", "memory://site", 1))
	state.Started(time.Unix(100, 0))
	state.Reloaded(time.Unix(200, 0), nil)
	state.Reloaded(time.Unix(300, 0), errors.New("a fault"))
	s := scrapeOf(t, p)
	for name, want := range map[string]float64{
		"pasteline_config_reloads_total":               2,
		"pasteline_config_last_load_successful":        0,
		"pasteline_config_last_load_timestamp_seconds": 200,
		"pasteline_draining":                           0,
		"pasteline_build_info":                         1,
	} {
		if got := s.sum(name); got != want || s[name] == nil {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := s.sum("pasteline_config_reloads_total", "result=failure"); got != 1 {
		t.Errorf("got %v failures", got)
	}
	state.Drain()
	if got := scrapeOf(t, p).sum("pasteline_draining"); got != 1 {
		t.Errorf("draining: got %v, want 1", got)
	}
}
