package inspector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/apps/inspector"
	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// siteINI is the tutorial's site with the inspector, at a place.
const siteINI = `
[composite:main]
use = egg:Paste#urlmap
/ = site
%s = inspector

[app:inspector]
use = egg:pasteline#inspector
%s

[pipeline:site]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm myapp

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 0bd5bf0fdd0b1a5c8d0e6e4be2e3a4d2

[app:myapp]
use = egg:myapp#app
zodb_uri = memory://%s
`

// A site is a server with the inspector.
type site struct {
	t        *testing.T
	URL      string
	log      *buffer
	registry *pipeline.Registry
	register []func(*pipeline.Registry) // adds to the standard apps and filters
	server   *httptest.Server
	mu       sync.Mutex
	loaded   *pipeline.Pipeline
}

type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// newSite serves the tutorial's site, with the inspector at a place.
func newSite(t *testing.T, place, settings string) *site {
	t.Helper()
	return serveINI(t, fmt.Sprintf(siteINI, place, settings, t.Name()))
}

func serveINI(t *testing.T, ini string, register ...func(*pipeline.Registry)) *site {
	t.Helper()
	s := &site{t: t, log: &buffer{}, registry: pipeline.NewRegistry(), register: register}
	s.load(ini)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		p := s.loaded
		s.mu.Unlock()
		p.ServeHTTP(w, r)
	}))
	s.URL = strings.Replace(s.server.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		if err := s.loaded.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load loads the file as a reload does, and returns a function that closes the former pipeline.
func (s *site) load(ini string) {
	s.t.Helper()
	s.registry = s.registry.Renew()
	serve.Standard(s.registry)
	myapp.Register(s.registry)
	for _, register := range s.register {
		register(s.registry)
	}
	p, err := pipeline.Load(s.t.Context(), "site.ini", pipeline.Options{
		Registry: s.registry, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	former := s.loaded
	s.loaded = p
	s.mu.Unlock()
	if former != nil {
		s.t.Cleanup(func() { former.Close() })
	}
}

// client returns a client with cookies.
func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// An answer is a response that has been read.
type answer struct {
	Status int
	Header http.Header
	Text   string
}

// do sends a request, and returns the answer.
func do(t *testing.T, c *http.Client, method, url string, fields ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
		if fields[i] == "Host" {
			r.Host = fields[i+1]
		}
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// snapshot gets the data of the inspector at a place.
func (s *site) snapshot(place string) (snap inspector.Snapshot) {
	s.t.Helper()
	got := do(s.t, client(s.t), http.MethodGet, s.URL+place+"/snapshot.json")
	if got.Status != http.StatusOK {
		s.t.Fatalf("got %d: %s", got.Status, got.Text)
	}
	if err := json.Unmarshal([]byte(got.Text), &snap); err != nil {
		s.t.Fatal(err)
	}
	return snap
}

// wait polls until ok returns true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// race sends two requests that conflict over the session of c.
func race(t *testing.T, c *http.Client, url string) {
	t.Helper()
	do(t, c, http.MethodPost, url+"/incr") // begins the session
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			response, err := c.Post(url+"/incr?pause=250", "", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	both.Wait()
}
