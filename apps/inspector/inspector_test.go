package inspector_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/internal/redact/redacttest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/transaction"
)

// Under 64 clients on one session the figures equal what the clients have counted.
func TestFiguresEqualClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "requests = 1000")
	c := client(t)
	do(t, c, http.MethodPost, s.URL+"/incr") // begins the session
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() { // a page is open meanwhile
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lines := s.events(ctx, t)
		for {
			select {
			case <-stop:
				return
			case <-lines:
			}
		}
	})
	const clients, each = 64, 6
	var attempts, failed atomic.Int64
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			for range each {
				path := "/incr?pause=1"
				if i%8 == 0 {
					path = "/fail"
				}
				response, err := c.Post(s.URL+path, "", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				n, err := strconv.Atoi(response.Header.Get("Pasteline-Attempt"))
				if err != nil && i%8 != 0 && response.StatusCode < 500 {
					t.Errorf("%s: %v", path, err)
				}
				attempts.Add(int64(max(n, 1)))
				if response.StatusCode >= 500 {
					failed.Add(1)
				}
			}
		})
	}
	running.Wait()
	close(stop)
	looking.Wait()
	wait(t, "the end of all requests", func() bool { return s.snapshot(place).Totals.Requests == clients*each+1 })
	got := s.snapshot(place)
	var sum, lost uint64
	byRequest := map[uint64]bool{}
	for _, q := range got.Requests {
		byRequest[q.Number] = true
		sum += uint64(len(q.Attempts))
		for _, a := range q.Attempts {
			if a.Outcome == "conflict" {
				lost++
				if a.Conflict == nil || a.Conflict.Bucket != "session" || a.Conflict.Key == "" {
					t.Errorf("a lost attempt without its key: %+v", a)
				}
			}
		}
	}
	if len(byRequest) != clients*each+1 {
		t.Errorf("got %d records, want %d", len(byRequest), clients*each+1)
	}
	if want := uint64(attempts.Load()) + 1; got.Totals.Attempts != sum || sum < want {
		t.Errorf("attempts: %d, in the records %d, the clients counted %d", got.Totals.Attempts, sum, want)
	}
	if got.Totals.Lost != lost || got.Totals.Outcomes["conflict"] != lost {
		t.Errorf("lost: %d, in the records %d", got.Totals.Lost, lost)
	}
	if got.Totals.Failed != uint64(failed.Load()) {
		t.Errorf("failed: %d, the clients counted %d", got.Totals.Failed, failed.Load())
	}
	if want := uint64(clients*each+1) - uint64(failed.Load()); got.Totals.Committed != want {
		t.Errorf("committed: %d, the clients counted %d", got.Totals.Committed, want)
	}
	if got.Totals.Committed+got.Totals.Lost+got.Totals.Outcomes["vetoed"]+got.Totals.Outcomes["aborted"] != got.Totals.Attempts {
		t.Errorf("the outcomes do not add up: %+v", got.Totals)
	}
}

// Each transaction of a job is a row, with its attempts; the counts of requests leave it out.
func TestJobs(t *testing.T) {
	t.Parallel()
	ini := fmt.Sprintf(siteINI, place, "", t.Name()) + `
[app:cleaner]
use = egg:test#cleaner
`
	ini = strings.Replace(ini, "/ = site", "/ = site\n/cleaner = cleaner", 1)
	failed := errors.New("the cleaner has no broom")
	register := func(r *pipeline.Registry) {
		pipeline.App(r, "egg:test#cleaner", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
			db, err := b.Storage("memory://" + t.Name())
			if err != nil {
				return nil, err
			}
			b.Go(func(ctx context.Context) error {
				err := transaction.Run(ctx, func(ctx context.Context) error {
					bucket, err := db.Bucket(ctx, "rooms")
					if err != nil {
						return err
					}
					if try, _ := transaction.AttemptFromContext(ctx); try.Number == 1 {
						return transaction.Transient(errors.New("the room is in use"))
					}
					return bucket.Put([]byte("hall"), []byte("clean"))
				})
				return errors.Join(err, transaction.Run(ctx, func(context.Context) error { return failed }))
			})
			return http.NotFoundHandler(), nil
		})
	}
	s := serveINI(t, ini, register)
	wait(t, "the end of both transactions", func() bool { return s.snapshot(place).Totals.Jobs == 2 })
	got := s.snapshot(place)
	if got.Totals.Requests != 0 || got.Totals.Attempts != 0 {
		t.Errorf("jobs are counted as requests: %+v", got.Totals)
	}
	if len(got.Requests) != 2 {
		t.Fatalf("got %d rows, want 2: %+v", len(got.Requests), got.Requests)
	}
	bad, good := got.Requests[0], got.Requests[1]
	if good.Job != "app:cleaner" || len(good.Attempts) != 2 ||
		good.Attempts[0].Outcome != "conflict" || !good.Attempts[0].Again ||
		good.Attempts[1].Outcome != "committed" || len(good.Attempts[1].Keys) != 1 ||
		good.Attempts[1].Keys[0].Key != "hall" || good.Err != "" {
		t.Errorf("got %+v, want a lost attempt and one that was committed", good)
	}
	if bad.Job != "app:cleaner" || bad.Err != failed.Error() || bad.Outcome != "aborted" {
		t.Errorf("got %+v, want the error", bad)
	}
	page := do(t, client(t), http.MethodGet, s.URL+place+"/").Text
	for _, part := range []string{">job</span> <span class=\"path\">app:cleaner<", ">failed<", failed.Error()} {
		if !strings.Contains(page, part) {
			t.Errorf("the page does not have %q", part)
		}
	}
}

// events opens the event stream, and returns its lines.
func (s *site) events(ctx context.Context, t *testing.T) <-chan string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+place+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got %s", response.Status)
	}
	lines := make(chan string, 100)
	t.Cleanup(func() { response.Body.Close() })
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(response.Body)
		scanner.Buffer(nil, 16<<20)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// A client that is not allowed gets nothing of the inspector.
func TestGuard(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-test"
	s := newSite(t, place, "token = "+token)
	c := client(t)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	bearer := []string{"Authorization", "Bearer " + token}
	for _, tt := range []struct {
		name   string
		path   string
		fields []string
		want   int
	}{
		{"local", "/snapshot.json", nil, 200},
		{"another host", "/snapshot.json", []string{"Host", "evil.example"}, 403},
		{"another host, stream", "/events", []string{"Host", "evil.example"}, 403},
		{"a proxy", "/snapshot.json", []string{"X-Forwarded-For", "127.0.0.1"}, 403},
		{"a proxy, with the token", "/snapshot.json", append([]string{"X-Forwarded-For", "192.0.2.1"}, bearer...), 200},
		{"a wrong token", "/snapshot.json", []string{"Authorization", "Bearer wrong"}, 403},
		{"a page of another site", "/snapshot.json", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"a script of another site", "/inspector.js", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a stream for another site", "/events", []string{"Origin", "http://evil.example"}, 403},
		{"details", "/requests/1", []string{"Host", "evil.example"}, 403},
		{"the form", "/", []string{"Host", "evil.example"}, 403},
	} {
		got := do(t, c, http.MethodGet, s.URL+place+tt.path, tt.fields...)
		if got.Status != tt.want {
			t.Errorf("%s: got %d", tt.name, got.Status)
		}
		h, text := got.Header, got.Text
		if h.Get("X-Frame-Options") != "DENY" || h.Get("Access-Control-Allow-Origin") != "" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: got the header %v", tt.name, h)
		}
		if tt.want == 403 && (strings.Contains(text, "totals") || strings.Contains(text, "browserid")) {
			t.Errorf("%s: shows %s", tt.name, text)
		}
	}
	if _, err := pipelineOf(t, fmt.Sprintf(siteINI, place, "token = short", t.Name())); err == nil ||
		strings.Contains(err.Error(), "= \"short\"") {
		t.Errorf("a short token: got %v", err)
	}
}

func pipelineOf(t *testing.T, ini string) (*pipeline.Pipeline, error) {
	t.Helper()
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	myapp.Register(registry)
	return pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

// With every file of the table of secrets, the page, the JSON and the events show none.
func TestNoSecrets(t *testing.T) {
	for name, value := range redacttest.Env {
		t.Setenv(name, value)
	}
	served := 0
	for _, c := range redacttest.Cases() {
		// The file's app, with the inspector beside it.
		ini := strings.Replace(c.INI, "[app:main]", "[app:site]", 1) + "\n[composite:main]\n" +
			"use = egg:Paste#urlmap\n/ = site\n/_pasteline = inspector\n" +
			"[app:inspector]\nuse = egg:pasteline#inspector\ntoken = a-token-with-xyzzy-in-it\n"
		p, err := pipelineOf(t, ini)
		if err != nil {
			continue // such a file serves nothing
		}
		served++
		get := func(method, path string) string {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // ends the stream
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, method, "http://localhost"+path, http.NoBody)
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			return w.Body.String()
		}
		get(http.MethodPost, "/incr")
		get(http.MethodGet, "/?password=xyzzy&token=xyzzy")
		for _, path := range []string{"/", "/snapshot.json", "/events", "/requests/1"} {
			text := get(http.MethodGet, place+path)
			if found := c.Found(text); found != "" || len(text) < 100 {
				t.Errorf("%s: %s shows %q: %s", c.Name, path, found, text)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if served < 3 {
		t.Errorf("only %d files of the table could be served", served)
	}
}

// With reveal the contents of sessions are shown, else not.
func TestReveal(t *testing.T) {
	t.Parallel()
	for _, reveal := range []bool{false, true} {
		s := newSite(t, place, fmt.Sprint("reveal = ", reveal))
		do(t, client(t), http.MethodPost, s.URL+"/incr")
		got := s.snapshot(place).Sessions
		if len(got) != 1 || got[0].Count != 1 || len(got[0].Sample) != 1 || got[0].Sample[0].Keys != 1 {
			t.Fatalf("got %+v, want one session", got)
		}
		if _, ok := got[0].Sample[0].Values["n"]; ok != reveal {
			t.Errorf("reveal = %v: got %v", reveal, got[0].Sample[0].Values)
		}
	}
}

// A client that does not read holds no request up, and there are not more streams than the limit.
func TestStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", place) // and never reads
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 15 {
		s.events(ctx, t)
	}
	wait(t, "the limit of streams", func() bool {
		response, err := http.Get(s.URL + place + "/events")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	})
	c := client(t)
	for range 200 {
		do(t, c, http.MethodGet, s.URL+"/hello")
	}
	cancel()
	wait(t, "the end of the streams", func() bool {
		response, err := http.Get(s.URL + place + "/events")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// The records keep their limits, and lost requests stay longer than others.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "requests = 10\nmemory = 64k")
	c := client(t)
	race(t, c, s.URL)
	for range 50 {
		do(t, c, http.MethodGet, s.URL+"/hello")
	}
	wait(t, "the end of all requests", func() bool { return s.snapshot(place).Totals.Requests == 53 })
	got := s.snapshot(place)
	if len(got.Requests) != 11 || got.Totals.Lost != 1 {
		t.Errorf("got %d records, %d lost; want 10 and the one that was lost", len(got.Requests), got.Totals.Lost)
	}
	for range 100 {
		do(t, c, http.MethodGet, s.URL+"/"+strings.Repeat("x", 8000))
	}
	s.load(fmt.Sprintf(siteINI, place, "requests = 10000\nmemory = 20k", t.Name()))
	for range 100 {
		do(t, c, http.MethodGet, s.URL+"/"+strings.Repeat("x", 8000))
	}
	got = s.snapshot(place)
	if n := len(got.Requests); n > 30 || len(got.Requests[0].Path) > 310 {
		t.Errorf("got %d records in 20k, the path has %d bytes", n, len(got.Requests[0].Path))
	}
	if got.Totals.Requests < 250 {
		t.Errorf("the totals did not survive the reload: %+v", got.Totals)
	}
}

// A load that the program discards leaves the former one in place.
func TestDiscardedLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "requests = 100")
	former := s.loaded
	s.snapshot(place)
	s.load(fmt.Sprintf(siteINI, place, "requests = 200", t.Name()))
	if err := s.loaded.Close(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.loaded = former
	s.mu.Unlock()
	if got := s.snapshot(place); len(got.Reloads) != 1 || !got.Reloads[0].First {
		t.Errorf("got %+v, want the start alone", got.Reloads)
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("inspector=", with), func(b *testing.B) {
			ini := fmt.Sprintf(siteINI, place, "", fmt.Sprint("bench-", with))
			if !with {
				ini = strings.Replace(ini, place+" = inspector\n", "", 1)
			}
			registry := pipeline.NewRegistry()
			serve.Standard(registry)
			myapp.Register(registry)
			p, err := pipeline.Load(b.Context(), "site.ini", pipeline.Options{
				Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/incr", http.NoBody))
			cookie := w.Result().Cookies()[0]
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/incr", http.NoBody)
				r.AddCookie(cookie)
				w := httptest.NewRecorder()
				if p.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

// The inspector of a site that is composed from a file.
func Example() {
	const site = `
[composite:main]
use = egg:Paste#urlmap
/ = egg:pasteline#echo
/_pasteline = egg:pasteline#inspector
`
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	p, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(site), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, http.NoBody)
		r.RemoteAddr = "127.0.0.1:40000"
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w
	}
	get("/hello")
	page := get("/_pasteline/")
	fmt.Println(page.Code, strings.Contains(page.Body.String(), "/hello"))
	// Output: 200 true
}
