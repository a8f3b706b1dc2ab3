package metrics

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// The values of labels that stand for others.
const (
	none  = "none"  // there is no route, or no transaction
	other = "other" // a value that is not known, or the rest of too many
)

// The limits of labels whose values come from the program or its data.
const (
	maxRoutes  = 1000 // pairs of an app and a route
	maxBuckets = 200  // pairs of a database and a bucket
	maxDBs     = 100  // databases
)

// The bounds of the histograms, in seconds or numbers.
var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	commitBuckets  = []float64{
		.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5,
	}
	groupBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128}
	sweepBuckets = []float64{.001, .01, .1, 1, 10, 60, 600}
)

// A listener counts the facts of package observe. It lives from the first load to the end of the process.
type listener struct {
	registry *prometheus.Registry

	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
	bytes    prometheus.Counter
	attempts *prometheus.CounterVec

	conflicts     *prometheus.CounterVec
	queueWait     *prometheus.HistogramVec
	queueTimeouts *prometheus.CounterVec
	commit        *prometheus.HistogramVec
	groupSize     prometheus.Histogram
	writeWait     prometheus.Histogram
	write         prometheus.Histogram

	statements      *prometheus.HistogramVec
	statementErrors *prometheus.CounterVec

	begun     prometheus.Counter
	ended     *prometheus.CounterVec
	renewed   prometheus.Counter
	swept     prometheus.Counter
	sweeps    *prometheus.CounterVec
	sweepTime prometheus.Histogram

	released *prometheus.CounterVec
	spooled  *prometheus.CounterVec

	routes, buckets, dbs limit
	known                known
}

// newListener returns a listener whose metrics are in a registry of its own.
func newListener() *listener {
	l := &listener{registry: prometheus.NewRegistry()}
	l.routes.max, l.buckets.max, l.dbs.max = maxRoutes, maxBuckets, maxDBs
	l.known.requests = map[labels]*request{}
	f := factory{l.registry}

	l.inFlight = f.gauge("http_requests_in_flight", "Requests that are being answered.")
	l.requests = f.counters("http_requests_total", "Requests that have ended, by the app and the "+
		"pattern of the route that answered, and by how the last transaction ended.",
		"app", "route", "method", "status", "outcome")
	l.duration = f.histograms("http_request_duration_seconds",
		"Time from the begin to the end of a request, all attempts included.", requestBuckets,
		"app", "route", "method")
	l.panics = f.counter("http_request_panics_total", "Requests that ended with a panic.")
	l.bytes = f.counter("http_response_bytes_total", "Bytes of the bodies of responses.")
	l.attempts = f.counters("attempts_total", "Attempts at requests, by how the transaction ended.",
		"outcome")

	l.conflicts = f.counters("conflicts_total", "Attempts that were lost because another "+
		"transaction had changed a key, by the bucket of the key.", "database", "bucket")
	l.queueWait = f.histograms("queue_wait_seconds", "Waits for a contended key.", commitBuckets,
		"database")
	l.queueTimeouts = f.counters("queue_timeouts_total",
		"Waits for a contended key that took too long and were given up.", "database")
	l.commit = f.histograms("commit_duration_seconds", "Commits of transactions, by their result.",
		commitBuckets, "result")
	l.groupSize = f.histogram("commit_group_size",
		"Transactions that shared the write to the disk; each of them is counted.", groupBuckets)
	l.writeWait = f.histogram("commit_write_wait_seconds",
		"Time from the begin of a commit until its write to the disk began.", commitBuckets)
	l.write = f.histogram("commit_write_seconds",
		"Time of the write to the disk that a commit took part in.", commitBuckets)

	l.statements = f.histograms("sql_statement_duration_seconds", "SQL statements.", commitBuckets,
		"database")
	l.statementErrors = f.counters("sql_statement_errors_total", "SQL statements that failed.",
		"database")

	l.begun = f.counter("sessions_begun_total", "Sessions that have begun.")
	l.ended = f.counters("sessions_ended_total", "Sessions that have ended, by the reason.",
		"reason")
	l.renewed = f.counter("sessions_renewed_total", "Sessions that have got a new browser id.")
	l.swept = f.counter("sessions_swept_total", "Expired sessions that sweeps have ended; they are "+
		"counted in sessions_ended_total too.")
	l.sweeps = f.counters("session_sweeps_total", "Searches for expired sessions.", "result")
	l.sweepTime = f.histogram("session_sweep_duration_seconds",
		"Searches for expired sessions.", sweepBuckets)

	l.released = f.counters("responses_released_total", "Responses that left before their handler "+
		"had returned, because it flushed them or took over the connection.", "how")
	l.spooled = f.counters("bodies_spooled_total",
		"Bodies that outgrew their memory and went on in a temporary file.", "body")
	l.start()
	return l
}

// start makes the counters whose label values are known appear with the value 0, so that the first
// event is seen as an increase.
func (l *listener) start() {
	for _, outcome := range outcomes {
		l.attempts.WithLabelValues(string(outcome))
	}
	for _, result := range []string{committed, conflict, failed} {
		l.commit.WithLabelValues(result)
	}
	for _, reason := range []observe.SessionEvent{
		observe.SessionInvalidated, observe.SessionExpired,
	} {
		l.ended.WithLabelValues(string(reason))
	}
	for _, result := range []string{success, failure} {
		l.sweeps.WithLabelValues(result)
	}
	for _, how := range []string{flushed, hijacked} {
		l.released.WithLabelValues(how)
	}
	for _, body := range []string{requestBody, responseBody} {
		l.spooled.WithLabelValues(body)
	}
}

// The values of labels with fixed sets of values.
const (
	committed, conflict, failed = "committed", "conflict", "failed"
	success, failure            = "success", "failure"
	flushed, hijacked           = "flushed", "hijacked"
	requestBody, responseBody   = "request", "response"
)

var outcomes = []observe.Outcome{
	observe.Committed, observe.Aborted, observe.Vetoed, observe.Doomed, observe.Conflicted,
	observe.Gone, observe.Failed, none,
}

// outcome returns the label of an outcome.
func outcome(o observe.Outcome) string {
	switch {
	case o == "":
		return none
	case slices.Contains(outcomes, o):
		return string(o)
	}
	return other
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// method returns the label of a method, which may be any word that a client sends.
func method(m string) string {
	if slices.Contains(methods, m) {
		return m
	}
	return other
}

// statusLabel returns the label of a status.
func statusLabel(code int) string {
	if code < 100 || code > 599 {
		return other
	}
	return strconv.Itoa(code)
}

// RequestStart counts a request that has begun.
func (l *listener) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	l.inFlight.Inc()
	return ctx
}

// RequestEnd counts a request.
func (l *listener) RequestEnd(_ context.Context, f observe.RequestEnd) {
	l.inFlight.Dec()
	r := l.request(labels{
		app: f.App, route: f.Route, method: method(f.Method), status: f.Status, outcome: f.Outcome,
	})
	r.total.Inc()
	r.duration.Observe(f.Duration.Seconds())
	l.bytes.Add(float64(max(f.Bytes, 0)))
	if f.Panicked {
		l.panics.Inc()
	}
}

// labels are what the metrics of a request depend on.
type labels struct {
	app, route, method string
	status             int
	outcome            observe.Outcome
}

// A request has the metrics of the requests with the same labels.
type request struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

// known are the metrics that have been used before.
type known struct {
	mu       sync.RWMutex
	requests map[labels]*request
}

func (l *listener) request(at labels) *request {
	l.known.mu.RLock()
	r := l.known.requests[at]
	l.known.mu.RUnlock()
	if r != nil {
		return r
	}
	app, route := l.routes.of(at.app, at.route)
	if route == "" {
		route = none
	}
	r = &request{
		total: l.requests.WithLabelValues(
			app, route, at.method, statusLabel(at.status), outcome(at.outcome)),
		duration: l.duration.WithLabelValues(app, route, at.method),
	}
	if route == other || statusLabel(at.status) == other || outcome(at.outcome) == other {
		return r // of the rest there may be any number
	}
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	l.known.requests[at] = r
	return r
}

// AttemptStart does nothing: attempts are counted at their end.
func (l *listener) AttemptStart(ctx context.Context, _ observe.AttemptStart) context.Context {
	return ctx
}

// AttemptEnd counts an attempt.
func (l *listener) AttemptEnd(_ context.Context, f observe.AttemptEnd) {
	l.attempts.WithLabelValues(outcome(f.Outcome)).Inc()
}

// Joined does nothing.
func (l *listener) Joined(context.Context, observe.Join) {}

// CommitStart does nothing: commits are counted at their end.
func (l *listener) CommitStart(context.Context, observe.CommitStart) {}

// CommitEnd counts a commit.
func (l *listener) CommitEnd(_ context.Context, f observe.CommitEnd) {
	result := committed
	switch {
	case transaction.IsTransient(f.Err):
		result = conflict
	case f.Err != nil:
		result = failed
	}
	l.commit.WithLabelValues(result).Observe(f.Duration.Seconds())
}

// Decided does nothing: decisions are counted with the attempts.
func (l *listener) Decided(context.Context, observe.Decision) {}

// Conflicted counts a conflict.
func (l *listener) Conflicted(_ context.Context, f observe.Conflict) {
	bucket := f.Bucket
	if bucket == "" {
		bucket = none
	}
	l.conflicts.WithLabelValues(l.buckets.of(f.DB, bucket)).Inc()
}

// Queued counts a wait.
func (l *listener) Queued(_ context.Context, f observe.Queue) {
	db := l.db(f.DB)
	l.queueWait.WithLabelValues(db).Observe(f.Duration.Seconds())
	if !f.Granted {
		l.queueTimeouts.WithLabelValues(db).Inc()
	}
}

// Grouped counts a commit that took part in a write.
func (l *listener) Grouped(_ context.Context, f observe.Group) {
	l.groupSize.Observe(float64(f.Size))
	l.writeWait.Observe(f.Wait.Seconds())
	l.write.Observe(f.Write.Seconds())
}

// StatementEnd counts an SQL statement.
func (l *listener) StatementEnd(_ context.Context, f observe.Statement) {
	db := l.db(f.DB)
	l.statements.WithLabelValues(db).Observe(f.Duration.Seconds())
	if f.Err != nil {
		l.statementErrors.WithLabelValues(db).Inc()
	}
}

// db returns the label of a database.
func (l *listener) db(name string) string {
	_, db := l.dbs.of("", name)
	return db
}

// Released counts a response that was let through.
func (l *listener) Released(_ context.Context, f observe.Release) {
	how := flushed
	if f.Hijacked {
		how = hijacked
	}
	l.released.WithLabelValues(how).Inc()
}

// Spooled counts a body that went on in a file.
func (l *listener) Spooled(_ context.Context, f observe.Spool) {
	body := requestBody
	if f.Response {
		body = responseBody
	}
	l.spooled.WithLabelValues(body).Inc()
}

// SessionChanged counts the begin or end of a session.
func (l *listener) SessionChanged(_ context.Context, f observe.SessionChange) {
	switch f.Change {
	case observe.SessionBegun:
		l.begun.Inc()
	case observe.SessionRenewed:
		l.renewed.Inc()
	case observe.SessionInvalidated, observe.SessionExpired:
		l.ended.WithLabelValues(string(f.Change)).Inc()
	}
}

// Swept counts a sweep.
func (l *listener) Swept(_ context.Context, f observe.Sweep) {
	result := success
	if f.Err != nil {
		result = failure
	}
	l.sweeps.WithLabelValues(result).Inc()
	l.swept.Add(float64(max(f.Ended, 0)))
	l.sweepTime.Observe(f.Duration.Seconds())
}

// A limit holds the values of a pair of labels, up to a number of pairs: each value costs memory
// here and in Prometheus, and a program could make them from its data.
type limit struct {
	max  int
	mu   sync.RWMutex
	seen map[[2]string][2]string
}

// of returns the labels of a pair: in valid UTF-8, and "other" for the second one if there are too
// many pairs.
func (l *limit) of(first, second string) (string, string) {
	pair := [2]string{first, second}
	l.mu.RLock()
	got, ok := l.seen[pair]
	l.mu.RUnlock()
	if ok {
		return got[0], got[1]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= l.max {
		return other, other
	}
	if l.seen == nil {
		l.seen = map[[2]string][2]string{}
	}
	got = [2]string{strings.ToValidUTF8(first, "?"), strings.ToValidUTF8(second, "?")}
	l.seen[pair] = got
	return got[0], got[1]
}

// A factory makes metrics with the prefix of all names, and registers them.
type factory struct{ registry *prometheus.Registry }

// prefix is the first word of all names but those of the Go runtime and the process.
const prefix = "pasteline"

func (f factory) counter(name, help string) prometheus.Counter {
	return register(f, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: prefix, Name: name, Help: help,
	}))
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: prefix, Name: name, Help: help,
	}, labels))
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return register(f, prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: prefix, Name: name, Help: help,
	}))
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(f, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: prefix, Name: name, Help: help, Buckets: buckets,
	}))
}

func (f factory) histograms(name, help string, buckets []float64,
	labels ...string,
) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: prefix, Name: name, Help: help, Buckets: buckets,
	}, labels))
}

func register[C prometheus.Collector](f factory, c C) C {
	f.registry.MustRegister(c)
	return c
}
