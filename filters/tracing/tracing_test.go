package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/filters/tracing"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/observe/observehttp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// A site is an app with two routes behind the filters.
type site struct {
	http.Handler
	spans *tracetest.InMemoryExporter
}

func newSite(t *testing.T, public bool) *site {
	t.Helper()
	db := memory.New("site")
	t.Cleanup(func() { _ = db.Close() })
	spans := tracetest.NewInMemoryExporter()
	tracer := tracing.New(tracing.Config{
		Provider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), Public: public,
	})
	put := func(ctx context.Context, value string) error {
		b, err := db.Bucket(ctx, "items")
		if err != nil {
			return err
		}
		if _, err := b.Get([]byte("k")); err != nil {
			return err
		}
		return b.Put([]byte("k"), []byte(value))
	}
	router := chi.NewRouter()
	router.Handle("/items/{id}", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		if err := put(ctx, "mine"); err != nil {
			return err
		}
		try, _ := transaction.AttemptFromContext(ctx)
		if try.Number == 1 && r.URL.Query().Has("lose") { // another transaction comes first
			return transaction.Run(context.Background(), func(ctx context.Context) error {
				return put(ctx, "other")
			})
		}
		seen := observe.FromContext(ctx)
		seen.StatementEnd(ctx, observe.Statement{DB: "postgres://db", SQL: "SELECT $1"})
		w.WriteHeader(http.StatusCreated)
		return nil
	}))
	router.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("xyzzy") })
	router.Get("/fail", handler.Func(func(http.ResponseWriter, *http.Request) error {
		return errors.New("xyzzy")
	}))
	again, err := retry.New(retry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	app := tracer.Middleware(again(tm.New(tm.Config{})(observehttp.Route("shop", router))))
	return &site{observehttp.New(tracer)(app), spans}
}

func (s *site) do(method, path string, header ...string) tracetest.SpanStubs {
	s.spans.Reset()
	r := httptest.NewRequest(method, "http://shop.example:8080"+path, nil)
	r.Header.Set("User-Agent", "test")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	func() {
		defer func() { _ = recover() }()
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	return s.spans.GetSpans()
}

// named returns the spans of a name, in the order in which they began.
func named(spans tracetest.SpanStubs, name string) (found []tracetest.SpanStub) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return found
}

func value(s tracetest.SpanStub, key string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

func want(t *testing.T, s tracetest.SpanStub, attributes map[string]string) {
	t.Helper()
	for key, value1 := range attributes {
		if got := value(s, key); got != value1 {
			t.Errorf("%s: %s is %q, want %q", s.Name, key, got, value1)
		}
	}
}

// The span of a request follows the conventions, and has the others as children.
func TestRequest(t *testing.T) {
	t.Parallel()
	spans := newSite(t, false).do(http.MethodPost, "/items/7?secret=xyzzy")
	servers := named(spans, "POST /items/{id}")
	attempts, commits := named(spans, "attempt"), named(spans, "commit")
	statements := named(spans, "SELECT")
	if len(servers) != 1 || len(attempts) != 1 || len(commits) != 1 || len(statements) != 1 {
		t.Fatalf("got %v", spans)
	}
	server := servers[0]
	want(t, server, map[string]string{
		"http.request.method": "POST", "http.route": "/items/{id}", "url.path": "/items/7",
		"http.response.status_code": "201", "url.scheme": "http", "server.address": "shop.example",
		"server.port": "8080", "client.address": "192.0.2.1", "network.protocol.version": "1.1",
		"user_agent.original": "test", "pasteline.app": "shop", "pasteline.attempts": "1",
		"pasteline.outcome": "committed",
	})
	if server.SpanKind != trace.SpanKindServer || server.Status.Code != codes.Unset ||
		server.Parent.IsValid() || value(server, "pasteline.request.id") == "" {
		t.Errorf("got %+v", server)
	}
	want(t, attempts[0], map[string]string{
		"pasteline.attempt.number": "1", "pasteline.outcome": "committed",
	})
	want(t, commits[0], map[string]string{"pasteline.commit.managers": "1"})
	want(t, statements[0], map[string]string{
		"db.system.name": "postgresql", "db.query.text": "SELECT $1", "db.operation.name": "SELECT",
	})
	for _, child := range []struct{ child, parent tracetest.SpanStub }{
		{attempts[0], server}, {commits[0], attempts[0]}, {statements[0], attempts[0]},
	} {
		if child.child.Parent.SpanID() != child.parent.SpanContext.SpanID() ||
			child.child.EndTime.Before(child.child.StartTime) {
			t.Errorf("%s: parent %v, want %s", child.child.Name, child.child.Parent, child.parent.Name)
		}
	}
}

// A request that has lost an attempt shows both, and the key that it lost over.
func TestLostAttempt(t *testing.T) {
	t.Parallel()
	spans := newSite(t, false).do(http.MethodPost, "/items/7?lose")
	attempts := named(spans, "attempt")
	if len(attempts) != 2 {
		t.Fatalf("got %v", spans)
	}
	want(t, attempts[0], map[string]string{
		"pasteline.attempt.number": "1", "pasteline.outcome": "conflict",
		"pasteline.attempt.again": "true",
	})
	want(t, attempts[1], map[string]string{
		"pasteline.attempt.number": "2", "pasteline.outcome": "committed",
		"pasteline.attempt.again": "false",
	})
	if attempts[0].Status.Code != codes.Error || attempts[1].Status.Code != codes.Unset {
		t.Errorf("got %v, %v", attempts[0].Status, attempts[1].Status)
	}
	found := false
	for _, e := range attempts[0].Events {
		if e.Name != "conflict" {
			continue
		}
		text := fmt.Sprint(e.Attributes)
		found = strings.Contains(text, "items") && strings.Contains(text, "memory://site")
	}
	if !found {
		t.Errorf("no conflict in %v", attempts[0].Events)
	}
	server := named(spans, "POST /items/{id}")[0]
	want(t, server, map[string]string{"pasteline.attempts": "2", "http.response.status_code": "201"})
	if server.Status.Code != codes.Unset {
		t.Errorf("the request is %v", server.Status)
	}
}

// Only faults of the server are errors, and no text of an error is shown.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	for _, tt := range []struct {
		method, path, name, status, kind string
		code                             codes.Code
	}{
		{"GET", "/panic?xyzzy", "GET /panic", "500", "panic", codes.Error},
		{"GET", "/fail?xyzzy", "GET /fail", "500", "500", codes.Error},
		{"GET", "/nothing", "GET", "404", "", codes.Unset},
		{"XYZ", "/nothing", "HTTP", "405", "", codes.Unset},
	} {
		spans := s.do(tt.method, tt.path, "Cookie", "xyzzy", "Authorization", "xyzzy")
		found := named(spans, tt.name)
		if len(found) != 1 {
			t.Errorf("%s: got %v", tt.path, spans)
			continue
		}
		if got := value(found[0], "http.response.status_code"); tt.method != "XYZ" && got != tt.status ||
			found[0].Status.Code != tt.code || value(found[0], "error.type") != tt.kind {
			t.Errorf("%s: got %s, %v, %q", tt.path, got, found[0].Status, value(found[0], "error.type"))
		}
		if text := fmt.Sprintf("%+v", spans); strings.Contains(text, "xyzzy") {
			t.Errorf("%s: a secret is in %s", tt.path, text)
		}
	}
}

// The trace of a client is continued, or linked.
func TestParent(t *testing.T) {
	t.Parallel()
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const field = "00-" + id + "-" + parent + "-01"
	server := named(newSite(t, false).do("GET", "/items/7", "traceparent", field), "GET /items/{id}")[0]
	if server.SpanContext.TraceID().String() != id || server.Parent.SpanID().String() != parent ||
		len(server.Links) != 0 {
		t.Errorf("not continued: %v, %v", server.SpanContext, server.Parent)
	}
	server = named(newSite(t, true).do("GET", "/items/7", "traceparent", field), "GET /items/{id}")[0]
	if server.SpanContext.TraceID().String() == id || server.Parent.IsValid() ||
		len(server.Links) != 1 || server.Links[0].SpanContext.TraceID().String() != id {
		t.Errorf("not linked: %v, %v, %v", server.SpanContext, server.Parent, server.Links)
	}
	server = named(newSite(t, false).do("GET", "/items/7", "traceparent", "nonsense"),
		"GET /items/{id}")[0]
	if server.Parent.IsValid() {
		t.Errorf("got %v", server.Parent)
	}
}

// A stub is a collector.
type stub struct {
	mu       sync.Mutex
	names    []string
	services []string
	keys     []string // of the requests
	status   int
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var got collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &got); err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, r.Header.Get("Api-Key"))
	for _, resource := range got.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				s.services = append(s.services, a.GetValue().GetStringValue())
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.names = append(s.names, span.GetName())
			}
		}
	}
	w.WriteHeader(max(s.status, http.StatusOK))
}

func load(t *testing.T, settings string) (*pipeline.Pipeline, error) {
	t.Helper()
	r := pipeline.NewRegistry()
	tracing.Register(r)
	retry.Register(r)
	tm.Register(r)
	pipeline.App(r, "egg:test#app", func(*pipeline.Build, struct{}) (http.Handler, error) {
		router := chi.NewRouter()
		router.Get("/items/{id}", func(http.ResponseWriter, *http.Request) {})
		return router, nil
	})
	return pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: r, ReadFile: func(string) ([]byte, error) {
			return []byte("[pipeline:main]\npipeline = tracing egg:repoze.retry#retry " +
				"egg:repoze.tm2#tm app\n[app:app]\nuse = egg:test#app\n" +
				"[filter:tracing]\nuse = egg:pasteline#tracing\n" + settings), nil
		},
	})
}

// A collector gets the spans, also those that are sent when the pipeline is closed.
func TestExport(t *testing.T) {
	t.Parallel()
	var got stub
	server := httptest.NewServer(&got)
	defer server.Close()
	p, err := load(t, "endpoint = "+server.URL+"/v1/traces\nheaders = api-key=xyzzy\n"+
		"service_name = shop\n")
	if err != nil {
		t.Fatal(err)
	}
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/items/7", nil))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.names)
	if !slices.Equal(got.names, []string{"GET /items/{id}", "attempt"}) ||
		!slices.Contains(got.services, "shop") || !slices.Contains(got.keys, "xyzzy") {
		t.Errorf("got %q, %q, %q", got.names, got.services, got.keys)
	}
}

// A collector that is not there does not keep the pipeline from closing, or requests from being
// answered. Without a sample nothing is sent.
func TestExportFails(t *testing.T) {
	t.Parallel()
	p, err := load(t, "endpoint = http://127.0.0.1:1/v1/traces\nflush_timeout = 100ms\n")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/items/7", nil))
	if err := p.Close(); err != nil || w.Code != http.StatusOK {
		t.Errorf("got %d, %v", w.Code, err)
	}
	var got stub
	server := httptest.NewServer(&got)
	defer server.Close()
	if p, err = load(t, "sample_ratio = 0\nendpoint = "+server.URL+"/v1/traces\n"); err != nil {
		t.Fatal(err)
	}
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/items/7", nil))
	if err := p.Close(); err != nil || len(got.names) != 0 {
		t.Errorf("got %q, %v", got.names, err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for settings, key := range map[string]string{
		"endpoint = localhost:4318\n": "endpoint",
		"headers = xyzzy\n":           "headers",
		"protocol = grpc\n":           "protocol",
		"sample_ratio = 2\n":          "sample_ratio",
	} {
		_, err := load(t, settings)
		if err == nil || !strings.Contains(err.Error(), "[filter:tracing] "+key) ||
			strings.Contains(err.Error(), "xyzzy") {
			t.Errorf("%q: got %v", settings, err)
		}
	}
}

// A listener prints the names of spans.
func Example() {
	spans := tracetest.NewInMemoryExporter()
	tracer := tracing.New(tracing.Config{
		Provider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})
	router := chi.NewRouter()
	router.Get("/items/{id}", func(http.ResponseWriter, *http.Request) {})
	app := observehttp.New(tracer)(tracer.Middleware(
		tm.New(tm.Config{})(observehttp.Route("shop", router))))
	r := httptest.NewRequest(http.MethodGet, "/items/7", nil)
	app.ServeHTTP(httptest.NewRecorder(), r)
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name)
	}
	// Output:
	// attempt
	// GET /items/{id}
}
