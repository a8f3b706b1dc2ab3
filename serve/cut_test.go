package serve_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/translogger"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/server"
)

// A squeezed is the response of a compressing filter, as there are many: it holds back what its
// compressor does, and writes the end of the stream when the handler has returned, or panics.
type squeezed struct {
	http.ResponseWriter
	gzip *gzip.Writer
}

func (w *squeezed) Write(p []byte) (int, error) { return w.gzip.Write(p) }

func (w *squeezed) Flush() {
	_ = w.gzip.Flush()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *squeezed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func squeeze(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		s := &squeezed{w, gzip.NewWriter(w)}
		defer s.gzip.Close()
		next.ServeHTTP(s, r)
	})
}

// faultyApp fails in the way that the path says.
func faultyApp(w http.ResponseWriter, r *http.Request) error {
	event, when, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "-")
	if when == "after-flush" {
		fmt.Fprint(w, "the first part\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		fmt.Fprint(w, "of a second one")
	} else {
		w.Header().Set("X-Dropped", "yes")
		http.SetCookie(w, &http.Cookie{Name: "dropped", Value: "yes"})
	}
	switch event {
	case "panic":
		panic("no luck")
	case "abort":
		panic(http.ErrAbortHandler)
	case "fine":
		return nil
	}
	return errors.New("no luck")
}

// A logBuffer is for several goroutines.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was written, and forgets it.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// A response is complete or visibly broken, wherever the app stands, and both logs say so.
func TestResponsesAreCompleteOrCut(t *testing.T) {
	t.Parallel()
	const browserid = "[filter:browserid]\nuse = egg:repoze.browserid#browserid\nsecret_key = " +
		"59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a\n"
	for name, pipe := range map[string]string{
		"none":               "app",
		"tm":                 "tm app",
		"retry":              "retry app",
		"retry tm":           "retry tm app",
		"browserid retry tm": "browserid retry tm app",
		"cascade":            "cascade",
		"retry tm cascade":   "retry tm cascade",
		"prefix":             "egg:PasteDeploy#prefix app",
		"prefix retry tm":    "egg:PasteDeploy#prefix retry tm app",
		"log inside":         "retry tm log app",
		"gzip":               "gzip app",
		"gzip retry tm":      "gzip retry tm app",
		"retry gzip tm":      "retry gzip tm app",
		"retry tm gzip":      "retry tm gzip app",
		"gzip cascade":       "gzip cascade",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, path := writeSite(t, browserid+`
[app:app]
use = egg:test#app

[app:nothing]
use = egg:test#nothing

[composite:cascade]
use = egg:Paste#cascade
app1 = nothing
app2 = app

[filter:log]
use = egg:test#log

[filter:gzip]
use = egg:test#gzip

[filter:retry]
use = egg:pasteline#retry

[filter:tm]
use = egg:pasteline#tm

[pipeline:main]
pipeline = log `+pipe+"\n")
			var access, log logBuffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			translog, err := translogger.New(translogger.Config{
				Output: &access,
				Format: "%(status)s",
			})
			if err != nil {
				t.Fatal(err)
			}
			registry := pipeline.NewRegistry()
			serve.Standard(registry)
			pipeline.Middleware(registry, "egg:test#log", translog)
			pipeline.Middleware(registry, "egg:test#gzip", squeeze)
			pipeline.App(registry, "egg:test#app",
				func(*pipeline.Build, struct{}) (http.Handler, error) {
					return handler.Func(faultyApp), nil
				})
			pipeline.App(registry, "egg:test#nothing",
				func(*pipeline.Build, struct{}) (http.Handler, error) {
					return http.NotFoundHandler(), nil
				})
			site, err := pipeline.Load(t.Context(), path, pipeline.Options{
				Registry: registry,
				Logger:   logger,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = site.Close() })
			log.take() // that some of these pipelines are odd
			s, err := server.New(server.Config{Host: "127.0.0.1", Port: 0, H2C: true}, logger)
			if err != nil {
				t.Fatal(err)
			}
			addrs, err := s.Listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(site) // what fails is seen by the client
			t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })

			gzipOutside := strings.HasPrefix(name, "gzip")
			lines := 1
			if name == "log inside" {
				lines = 2
			}
			for _, http2 := range []bool{false, true} {
				var protocols http.Protocols
				protocols.SetHTTP1(!http2)
				protocols.SetUnencryptedHTTP2(http2)
				transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
				client := &http.Client{Transport: transport}
				defer transport.CloseIdleConnections()
				for _, tt := range []struct {
					event  string
					status int // 0: no answer
					cut    bool
					log    string // one line of this
				}{
					{"fine-after-flush", 200, false, ""},
					{"error-after-flush", 200, true, "response was cut"},
					{"panic-after-flush", 200, true, "a handler panicked"},
					{"abort-after-flush", 200, true, ""},
					{"error-before", 500, false, "request failed"},
					{"panic-before", 500, false, "a handler panicked"},
					{"abort-before", 0, true, ""},
				} {
					what := fmt.Sprintf("HTTP/2 %v, %s", http2, tt.event)
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
						"http://"+addrs[0].String()+"/"+tt.event, nil)
					if err != nil {
						t.Fatal(err)
					}
					response, err := client.Do(r)
					status, readErr := 0, error(nil)
					var body []byte
					if err == nil {
						status = response.StatusCode
						body, readErr = io.ReadAll(response.Body)
						response.Body.Close()
					}
					// A gzip filter that a panic passes through ends its stream first: then the
					// response has begun.
					if gzipOutside && !tt.cut && strings.HasPrefix(tt.event, "panic") ||
						gzipOutside && tt.event == "abort-before" {
						tt.cut, tt.status = true, status
						if readErr == nil && err == nil {
							t.Errorf("%s: got %d %q, which looks complete", what, status, body)
						}
					} else if status != tt.status || (readErr != nil) != (tt.cut &&
						tt.status != 0) {
						t.Errorf("%s: got %d %q, %v, %v; want %d, cut %v", what, status, body, err,
							readErr, tt.status, tt.cut)
					}
					if tt.status == 500 && status == 500 &&
						(strings.Contains(response.Header.Get("Set-Cookie"), "dropped") ||
							tt.event == "error-before" && response.Header.Get("X-Dropped") != "") {
						t.Errorf("%s: got what was dropped: %v", what, response.Header)
					}
					got, logged := "", ""
					want := min(len(tt.log), 1)
					for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
						got, logged = got+access.take(), logged+log.take()
						if strings.Count(got, "\n") >= lines &&
							strings.Count(logged, "\n") >= want || time.Now().After(deadline) {
							break
						}
					}
					for line := range strings.Lines(got) {
						if strings.Contains(line, "cut") != tt.cut {
							t.Errorf("%s: the access log says %q", what, got)
						}
					}
					if n := strings.Count(logged, "\n"); n != want ||
						!strings.Contains(logged, tt.log) {
						t.Errorf("%s: want one line with %q in the log:\n%s", what, tt.log, logged)
					}
				}
			}
		})
	}
}
