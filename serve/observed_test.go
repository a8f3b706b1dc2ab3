package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/apps/inspector"
	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/internal/redact/redacttest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage/engine"
)

// observedSite is a site whose requests are counted by the inspector, by the metrics, and in the log.
const observedSite = `
[composite:main]
use = egg:Paste#urlmap
/ = site
/_pasteline = egg:pasteline#inspector
/metrics = egg:pasteline#metrics

[pipeline:site]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm myapp

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 0bd5bf0fdd0b1a5c8d0e6e4be2e3a4d2

[app:myapp]
use = egg:myapp#app
zodb_uri = memory://%s
`

// An observed site is served for tests of what it shows.
type observed struct {
	t      *testing.T
	URL    string
	client *http.Client
	log    *buffer
}

// observe serves a site with the standard apps and filters.
func observe(
	t *testing.T, ini string, level slog.Level, register ...func(*pipeline.Registry),
) *observed {
	t.Helper()
	o := &observed{t: t, log: new(buffer)}
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	myapp.Register(registry)
	for _, register := range register {
		register(registry)
	}
	p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
		Logger: slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	o.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	o.client = &http.Client{Jar: jar, Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// A reply is a response that has been read.
type reply struct {
	status int
	header http.Header
	text   string
}

// do sends a request, and returns the reply.
func (o *observed) do(method, path string) reply {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.URL+path, http.NoBody)
	if err != nil {
		o.t.Error(err)
		return reply{}
	}
	response, err := o.client.Do(r)
	if err != nil {
		o.t.Error(err)
		return reply{}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Error(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// snapshot returns the data of the inspector.
func (o *observed) snapshot() (s inspector.Snapshot) {
	o.t.Helper()
	text := o.do(http.MethodGet, "/_pasteline/snapshot.json").text
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		o.t.Fatalf("%v: %s", err, text)
	}
	return s
}

// metric returns the sum of a metric's series whose labels contain a text.
func (o *observed) metric(name, labels string) (sum float64) {
	o.t.Helper()
	text := o.do(http.MethodGet, "/metrics").text
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(series, name+"{") || !strings.Contains(series, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			o.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// records returns the records of the log with a message.
func (o *observed) records(message string) (records []map[string]any) {
	o.t.Helper()
	for line := range strings.Lines(o.log.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			o.t.Fatalf("%v: %s", err, line)
		}
		if r["msg"] == message {
			records = append(records, r)
		}
	}
	return records
}

// ended waits until the inspector has counted the end of n requests.
func (o *observed) ended(n uint64) {
	o.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); o.snapshot().Totals.Requests != n; {
		if time.Now().After(deadline) {
			o.t.Fatalf("%d requests have ended, want %d", o.snapshot().Totals.Requests, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A slow disk is found from each of the log, the inspector, and the metrics.
func TestSlowCommitIsShown(t *testing.T) {
	t.Parallel()
	const took = 1200 * time.Millisecond
	slow := func(r *pipeline.Registry) {
		r.Opener().Intercept(func(ctx context.Context, uri *url.URL, open engine.OpenFunc) (engine.Engine, error) {
			e, err := open(ctx, uri)
			return slowEngine{e, took}, err
		})
	}
	o := observe(t, fmt.Sprintf(observedSite, t.Name()), slog.LevelInfo, slow)
	o.do(http.MethodGet, "/read") // commits nothing, so it is not slow
	o.do(http.MethodPost, "/incr")
	o.ended(2)

	records := o.records("the commit was slow")
	if len(records) != 1 {
		t.Fatalf("the log has %d warnings, want 1:\n%s", len(records), o.log)
	}
	r := records[0]
	if r["level"] != "WARN" || r["note"] != "/incr" || r["duration"].(float64) < float64(took) ||
		!strings.HasPrefix(r["managers"].(string), "storage:memory://") {
		t.Errorf("the log has %v", r)
	}

	q := o.snapshot().Requests[0]
	if len(q.Attempts) != 1 || q.Attempts[0].CommitMillis < float64(took.Milliseconds()) {
		t.Errorf("the inspector has %+v", q.Attempts)
	}
	page := o.do(http.MethodGet, "/_pasteline/").text
	if !strings.Contains(page, "The commit of attempt 1 took 1.2 s in storage:memory://") ||
		!strings.Contains(page, `<rect class="commit"`) {
		t.Errorf("the inspector does not show the commit:\n%s", page)
	}

	const name = "pasteline_commit_duration_seconds"
	if n := o.metric(name+"_bucket", `le="1"`); n != 1 {
		t.Errorf("the metrics have %v commits of at most a second, want that of /read", n)
	}
	if sum := o.metric(name+"_sum", ""); sum < took.Seconds() {
		t.Errorf("the metrics have commits of %v s together", sum)
	}
}

// With slow_commit = 0 no commit is called slow.
func TestSlowCommitIsOff(t *testing.T) {
	t.Parallel()
	slow := func(r *pipeline.Registry) {
		r.Opener().Intercept(func(ctx context.Context, uri *url.URL, open engine.OpenFunc) (engine.Engine, error) {
			e, err := open(ctx, uri)
			return slowEngine{e, 10 * time.Millisecond}, err
		})
	}
	for value, want := range map[string]int{"0": 0, "5ms": 1} {
		ini := strings.Replace(fmt.Sprintf(observedSite, t.Name()+value), "egg:repoze.tm2#tm myapp", "tm myapp", 1) +
			"\n[filter:tm]\nuse = egg:repoze.tm2#tm\nslow_commit = " + value + "\n"
		o := observe(t, ini, slog.LevelInfo, slow)
		o.do(http.MethodPost, "/incr")
		if got := len(o.records("the commit was slow")); got != want {
			t.Errorf("slow_commit = %s: got %d warnings, want %d", value, got, want)
		}
	}
}

// A slowEngine commits writes after a delay, as a slow disk does.
type slowEngine struct {
	engine.Engine
	delay time.Duration
}

func (e slowEngine) Begin(ctx context.Context) (engine.View, error) {
	v, err := e.Engine.Begin(ctx)
	return slowView{v, e.delay}, err
}

type slowView struct {
	engine.View
	delay time.Duration
}

func (v slowView) Commit(ctx context.Context, c *engine.Changes) error {
	if len(c.Writes) > 0 {
		<-time.After(v.delay)
	}
	return v.View.Commit(ctx, c)
}

// After 64 clients have changed one session at the same time, their own counts, the inspector, the
// metrics and the log agree exactly.
func TestFiguresAgree(t *testing.T) {
	t.Parallel()
	o := observe(t, fmt.Sprintf(observedSite, t.Name()), slog.LevelDebug)
	o.do(http.MethodPost, "/incr") // begins the session
	const clients, each = 64, 5
	var ok, unavailable, attempts atomic.Int64
	ok.Add(1)
	attempts.Add(1)
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for range each {
				got := o.do(http.MethodPost, "/incr?pause=1")
				switch got.status {
				case http.StatusOK:
					ok.Add(1)
					n, err := strconv.ParseInt(got.header.Get("Pasteline-Attempt"), 10, 64)
					if err != nil {
						t.Error(err)
					}
					attempts.Add(n)
				case http.StatusServiceUnavailable: // all tries of retry were lost
					unavailable.Add(1)
					attempts.Add(3)
				default:
					t.Errorf("got %d: %s", got.status, got.text)
				}
			}
		})
	}
	running.Wait()
	const requests = clients*each + 1
	o.ended(requests)
	lost := attempts.Load() - ok.Load()
	logged := map[string]float64{}
	for _, r := range o.records("request ended") {
		if r["path"] == "/incr" {
			logged["requests"]++
			logged["attempts"] += r["attempts"].(float64)
			logged["lost"] += r["conflicts"].(float64)
		}
	}
	t.Logf("%d requests, %d attempts, %d lost, %d answered with 503", requests, attempts.Load(), lost,
		unavailable.Load())
	totals := o.snapshot().Totals
	const counted = "pasteline_attempts_total"
	for _, tt := range []struct {
		name                              string
		clients, inspector, metrics, logs float64
	}{
		{
			"requests", requests, float64(totals.Requests),
			o.metric("pasteline_http_requests_total", `route="/incr"`), logged["requests"],
		},
		{
			"attempts", float64(attempts.Load()), float64(totals.Attempts), o.metric(counted, ""),
			logged["attempts"],
		},
		{
			"lost attempts", float64(lost), float64(totals.Lost), o.metric(counted, `outcome="conflict"`),
			logged["lost"],
		},
		{
			"lost attempts, one by one", float64(lost), float64(totals.Outcomes["conflict"]),
			o.metric("pasteline_conflicts_total", ""), float64(len(o.records("attempt lost"))),
		},
		{
			"committed", float64(ok.Load()), float64(totals.Committed),
			o.metric(counted, `outcome="committed"`), logged["attempts"] - logged["lost"],
		},
		{
			"failed", float64(unavailable.Load()), float64(totals.Failed),
			o.metric("pasteline_http_requests_total", `status="503"`),
			float64(len(o.records("request failed"))),
		},
	} {
		if tt.inspector != tt.clients || tt.metrics != tt.clients || tt.logs != tt.clients {
			t.Errorf("%s: the clients counted %v, the inspector %v, the metrics %v, the log %v", tt.name,
				tt.clients, tt.inspector, tt.metrics, tt.logs)
		}
	}
}

// With the files of the table of secrets, neither the metrics nor the spans have one.
func TestMetricsAndSpansShowNoSecrets(t *testing.T) {
	for name, value := range redacttest.Env {
		t.Setenv(name, value)
	}
	served := 0
	for _, c := range redacttest.Cases() {
		var mu sync.Mutex
		var spans bytes.Buffer
		collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = spans.ReadFrom(r.Body)
			w.WriteHeader(http.StatusOK)
		}))
		ini := strings.Replace(c.INI, "[app:main]", "[app:site]", 1) + `
[composite:main]
use = egg:Paste#urlmap
/ = traced
/metrics = egg:pasteline#metrics
[pipeline:traced]
pipeline = tracing egg:repoze.retry#retry egg:repoze.tm2#tm site
[filter:tracing]
use = egg:pasteline#tracing
endpoint = ` + collector.URL + `/v1/traces
headers = api-key=xyzzy
`
		registry := pipeline.NewRegistry()
		serve.Standard(registry)
		myapp.Register(registry)
		p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
			Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
		})
		if err != nil {
			collector.Close()
			continue // such a file serves nothing
		}
		served++
		get := func(method, path string) string {
			r := httptest.NewRequest(method, "http://localhost"+path, http.NoBody)
			r.RemoteAddr = "127.0.0.1:1"
			r.Header.Set("Authorization", "Bearer xyzzy")
			r.Header.Set("Cookie", "xyzzy=xyzzy")
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			return w.Body.String()
		}
		get(http.MethodPost, "/shared/incr?token=xyzzy")
		get(http.MethodPost, "/incr?password=xyzzy")
		get(http.MethodGet, "/?password=xyzzy&token=xyzzy")
		metrics := get(http.MethodGet, "/metrics")
		if err := p.Close(); err != nil { // sends the spans
			t.Error(err)
		}
		collector.Close()
		for name, text := range map[string]string{"the metrics": metrics, "the spans": spans.String()} {
			if found := c.Found(text); found != "" || len(text) < 100 {
				t.Errorf("%s: %s show %q: %q", c.Name, name, found, text)
			}
		}
	}
	if served < 3 {
		t.Errorf("only %d files of the table could be served", served)
	}
}
