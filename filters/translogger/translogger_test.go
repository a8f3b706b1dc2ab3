package translogger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/translogger"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

func newFilter(tb testing.TB, c translogger.Config) func(http.Handler) http.Handler {
	tb.Helper()
	filter, err := translogger.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return filter
}

func write(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		io.WriteString(w, text)
	})
}

func TestCombined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock of the test's bubble begins at 2000-01-01
		var log bytes.Buffer
		h := newFilter(t,
			translogger.Config{Output: &log})(http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request,
		) {
			r.Method, r.URL.Path, r.RemoteAddr = "X", "/changed", "changed"
			time.Sleep(time.Hour) // the line must have the time at which the request began
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, "12345")
		}))
		r := httptest.NewRequest(http.MethodPost, "/blog/a%2Fb%20c?q=1&r=%22", nil)
		r.Header = http.Header{
			"Referer": {"http://a.org/"}, "User-Agent": {"Mozilla/5.0 (X)"},
			"X-Forwarded-For": {"1.1.1.1"},
		}
		r.SetBasicAuth("frank", "secret")
		r, _ = mount.Cut(r, "/blog")
		h.ServeHTTP(httptest.NewRecorder(), r)
		zone := time.Now().Format("-0700")
		at := time.Now().Add(-time.Hour).Format("02/Jan/2006:15:04:05 ") + zone
		want := `192.0.2.1 - frank [` + at + `] "POST /blog/a%2Fb%20c?q=1&r=%22 HTTP/1.1" 201 5 ` +
			`"http://a.org/" "Mozilla/5.0 (X)"` + "\n"
		if got := log.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		format string
		want   string
	}{
		{
			"all", "%(REMOTE_ADDR)s %(REMOTE_USER)s %(REQUEST_METHOD)s %(REQUEST_URI)s " +
				"%(HTTP_VERSION)s %(status)s %(bytes)s %(HTTP_REFERER)s %(HTTP_USER_AGENT)s",
			"192.0.2.1 - GET /x HTTP/1.1 200 3 - -",
		},
		{"text", "no field", "no field"},
		{"cut", "%(cut)s", "-"},
		{"percent", "100%% %(status)s%%", "100% 200%"},
		{
			"width", "[%(status)5s|%(status)-5s|%(REQUEST_METHOD).2s|%(REQUEST_METHOD)6.1s]",
			"[  200|200  |GE|     G]",
		},
		{"twice", "%(status)s%(status)s", "200200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			newFilter(t, translogger.Config{Output: &log, Format: tt.format})(write("abc")).
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
			if got := log.String(); got != tt.want+"\n" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	var log bytes.Buffer
	newFilter(t, translogger.Config{Output: &log, Format: "%(time)s %(duration)s"})(write("")).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
	if !regexp.MustCompile(`^\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4} ` +
		`\d+\.\d{6}\n$`).MatchString(log.String()) {
		t.Errorf("got %q", &log)
	}
}

// A client can't forge a field or a line.
func TestEscapes(t *testing.T) {
	t.Parallel()
	tests := []struct{ agent, want string }{
		{`" 200 "`, `\" 200 \"`},
		{`a\b`, `a\\b`},
		{"a\x1b[31m\x7f", `a\x1b[31m\x7f`},
		{"über", "über"},
		{"\xff", `\xff`},
		{"\u0085\u202e", `\xc2\x85\xe2\x80\xae`},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("User-Agent", tt.agent)
		newFilter(t, translogger.Config{
			Output: &log,
			Format: "%(HTTP_USER_AGENT)s",
		})(write("")).ServeHTTP(httptest.NewRecorder(), r)
		if got := log.String(); got != tt.want+"\n" {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// A channel is a log's output whose lines a test can wait for.
type channel chan string

func (c channel) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// TestWriter runs handlers that use the response writer in all possible ways, on real servers.
func TestWriter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		method  string
		handler http.HandlerFunc
		http1   bool // only with HTTP/1.1
		want    string
	}{
		{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, false, "200 -"},
		{"write", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("abc"))
			_, _ = w.Write([]byte("d"))
		}, false, "200 4"},
		{"status", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusOK)
			io.WriteString(w, "abc")
		}, false, "404 3"},
		{"hints", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		}, false, "204 -"},
		{
			"head", "HEAD", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "abc") },
			false, "200 -",
		},
		{"copy", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.Copy(w, strings.NewReader("abcde"))
		}, false, "200 5"},
		{"read from", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(io.LimitReader(strings.NewReader("abcde"), 2))
		}, false, "200 2"},
		{"flush first", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			w.WriteHeader(http.StatusInternalServerError) // ignored: the header was sent
			io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
		}, false, "200 3"},
		{"deadline", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}, false, "200 -"},
		{"hijack", "GET", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		}, true, "101 -"},
		{"trailers", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Sum")
			io.WriteString(w, "abc")
			w.Header().Set("Sum", "1")
		}, false, "200 3"},
		{
			"panic", "GET", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			false, "500 - cut",
		},
		{"panic after the header", "GET", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "abc")
			panic(http.ErrAbortHandler)
		}, false, "200 3 cut"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, http2 := range []bool{false, true} {
				if http2 && tt.http1 {
					continue
				}
				log := make(channel, 1)
				server := httptest.NewUnstartedServer(newFilter(t, translogger.Config{
					Output: log,
					Format: "%(status)s %(bytes)s",
				})(tt.handler))
				server.EnableHTTP2 = http2
				server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
				server.StartTLS()
				r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := server.Client().Do(r)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if tt.name == "trailers" && resp.Trailer.Get("Sum") != "1" {
						t.Errorf("got trailers %v", resp.Trailer)
					}
				}
				server.Close()
				if got := <-log; got != tt.want+"\n" {
					t.Errorf("HTTP/2 %v: got %q, want %q", http2, got, tt.want)
				}
			}
		})
	}
}

// plain is a response writer without optional methods.
type plain struct{ http.ResponseWriter }

func TestWriterWithoutFlush(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	newFilter(t, translogger.Config{
		Output: &log,
		Format: "%(status)s %(bytes)s",
	})(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err,
			http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
		w.WriteHeader(http.StatusAccepted)
		if n, err := io.Copy(w, strings.NewReader("abc")); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})).ServeHTTP(plain{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
	if log.String() != "202 3\n" {
		t.Errorf("got %q", &log)
	}
}

// Behind a filter that answers failed requests, a returned error is logged with the status of that
// answer.
func TestReturnedError(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ctx, _ := attempt.NewContext(t.Context())
	newFilter(t, translogger.Config{
		Output: &log,
		Format: "%(status)s",
	})(handler.Func(func(http.ResponseWriter, *http.Request) error {
		return attempt.WithStatus(http.StatusConflict, errors.New("no"))
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx,
		http.MethodGet, "/", nil))
	if log.String() != "409\n" {
		t.Errorf("got %q", &log)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	filter := newFilter(t, translogger.Config{Logger: logger, Level: slog.LevelWarn})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the client disconnects
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/x?y", nil)
	r.Header.Set("User-Agent", "curl")
	filter(write("abc")).ServeHTTP(httptest.NewRecorder(), r)
	func() {
		defer func() { _ = recover() }()
		filter(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("ouch") })).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/", nil))
	}()
	want := []map[string]any{
		{
			"level": "WARN", "msg": "request", "method": "GET", "uri": "/x?y", "proto": "HTTP/1.1",
			"status": 200., "bytes": 3., "remote_addr": "192.0.2.1", "user_agent": "curl",
		},
		{
			"level": "WARN", "msg": "request", "method": "PUT", "uri": "/", "proto": "HTTP/1.1",
			"status": 500., "bytes": 0., "remote_addr": "192.0.2.1", "panicked": true,
		},
	}
	var got []map[string]any
	for line := range strings.Lines(log.String()) {
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if _, ok := record["duration"].(float64); !ok {
			t.Errorf("no duration in %s", line)
		}
		delete(record, "duration")
		delete(record, "time")
		got = append(got, record)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	log.Reset()
	newFilter(t, translogger.Config{
		Logger: logger,
		Format: "%(status)s %(bytes)s",
	})(write("abc")).ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(log.String(), `"level":"INFO","msg":"200 3"}`) {
		t.Errorf("got %s", &log)
	}
	log.Reset()
	newFilter(t, translogger.Config{
		Logger: logger,
		Level:  slog.LevelDebug,
	})(write("abc")).ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() != 0 {
		t.Errorf("got %s below the logger's level", &log)
	}
}

// Lines of concurrent requests do not mix.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newFilter(t, translogger.Config{Output: &log, Format: "%(REQUEST_URI)s!"})(write("x"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet,
					fmt.Sprintf("/%d", i), nil))
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 400 {
		t.Errorf("got %d lines, want 400", len(lines))
	}
	for _, line := range lines {
		if !regexp.MustCompile(`^/[0-7]!$`).MatchString(line) {
			t.Errorf("got %q", line)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	const have = "; want one of: HTTP_REFERER, HTTP_USER_AGENT, HTTP_VERSION, REMOTE_ADDR, " +
		"REMOTE_USER, REQUEST_METHOD, REQUEST_URI, bytes, cut, duration, status, time"
	tests := []struct {
		name    string
		config  translogger.Config
		wantErr string
	}{
		{"nowhere", translogger.Config{}, "translogger: no destination: set Output or Logger"},
		{
			"name",
			translogger.Config{Output: io.Discard, Format: "%(x)s"},
			`format: unknown field "x"` + have,
		},
		{
			"conversion",
			translogger.Config{Output: io.Discard, Format: "a %(status)d b"},
			`format: "%(status)d" is not a field: want %(name)s, or %% for a percent sign (each % ` +
				`doubled in an .ini)`,
		},
		{"percent", translogger.Config{Output: io.Discard, Format: "100%"}, `format: "%" is not ` +
			`a field: want %(name)s, or %% for a percent sign (each % doubled in an .ini)`},
		{"no name", translogger.Config{Output: io.Discard, Format: "%s"}, `format: "%s" is not a ` +
			`field: want %(name)s, or %% for a percent sign (each % doubled in an .ini)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := translogger.New(tt.config); err == nil || err.Error() != tt.wantErr {
				t.Errorf("got %v, want %s", err, tt.wantErr)
			}
		})
	}
}

func load(ctx context.Context, lines string, logger *slog.Logger) (*pipeline.Pipeline, error) {
	registry := pipeline.NewRegistry()
	translogger.Register(registry)
	pipeline.App(registry, "egg:test#app",
		func(*pipeline.Build, struct{}) (http.Handler, error) { return write("abc"), nil })
	ini := "[pipeline:main]\npipeline = log egg:test#app\n[filter:log]\n" + lines
	return pipeline.Load(ctx, "site.ini", pipeline.Options{
		Registry: registry, Logger: logger,
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		lines        string
		want         string
		wantWarnings int
	}{
		{
			"records", "use = egg:Paste#translogger\nsetup_console_handler = False\n",
			`level=INFO msg=request section=filter:log logger=wsgi method=GET uri=/x ` +
				`proto=HTTP/1.1 status=200 bytes=3 `, 0,
		},
		{
			"all", "use = egg:pasteline#translogger\nsetup_console_handler = no\nlogger_name = " +
				"access\nlogging_level = WARNING\nset_logger_level = INFO\nformat = %%(status)s\n",
			"level=WARN msg=200 section=filter:log logger=access\n", 0,
		},
		{
			"numbers", "use = egg:Paste#translogger\nsetup_console_handler = no\nlogging_level = " +
				"40\nformat = %%(status)s\n", "level=ERROR msg=200 section=filter:log logger=wsgi\n",
			0,
		},
		{
			"off", "paste.filter_factory = paste.translogger:make_filter\nlogging_level = " +
				"debug\nset_logger_level = INFO\n",
			"set_logger_level", 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p, err := load(t.Context(), tt.lines,
				slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
			got := log.String()
			others := strings.Count(got, "request ended") // a record of the loader
			if !strings.Contains(got, tt.want) || strings.Count(got, "\n") != 1+others || len(p.Warnings()) != tt.wantWarnings {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// By default lines are written to standard error, unchanged.
func TestFromINIToConsole(t *testing.T) { //nolint:paralleltest // standard error is everybody's
	read, console, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = console
	p, err := load(t.Context(), "use = egg:Paste#translogger\n", nil)
	os.Stderr = stderr
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
	console.Close()
	line, err := io.ReadAll(read)
	if err != nil || !regexp.MustCompile(`^192\.0\.2\.1 - - \[.*\] "GET /x HTTP/1\.1" 200 3 "-" `+
		`"-"\n$`).Match(line) {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestFromINIErrors(t *testing.T) {
	t.Parallel()
	_, err := load(t.Context(),
		"use = egg:Paste#translogger\nlogging_level = loud\nsetup_console_handler = perhaps\n", nil)
	want := `site.ini:5: [filter:log] logging_level = "loud": want DEBUG, INFO, WARNING, ERROR or CRITICAL
site.ini:6: [filter:log] setup_console_handler = "perhaps": want true or false`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	_, err = load(t.Context(), "use = egg:Paste#translogger\nformat = %%(STATUS)s\n", nil)
	if want := `site.ini:5: [filter:log] format = "%(STATUS)s": unknown field "STATUS"; want one ` +
		`of: `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func BenchmarkServe(b *testing.B) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
	app := http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		w.WriteHeader(http.StatusNoContent)
	})
	for _, bm := range []struct {
		name    string
		handler http.Handler
	}{
		{"log=none", app},
		{"log=combined", newFilter(b, translogger.Config{Output: io.Discard})(app)},
		{"log=records", newFilter(b,
			translogger.Config{Logger: slog.New(slog.NewJSONHandler(&nowhere{}, nil))})(app)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bm.handler.ServeHTTP(w, r)
			}
		})
	}
}

// nowhere discards writes; unlike io.Discard, slog does not detect it.
type nowhere struct{}

func (*nowhere) Write(p []byte) (int, error) { return len(p), nil }

// Every format is refused or gives one line for each request, without a panic.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{
		"combined", "%(status)5.1s", "%%(x)s", "%(time)-999s", "%(",
		"%()s", "\n",
	} {
		f.Add(seed, "agent")
	}
	f.Fuzz(func(t *testing.T, format, agent string) {
		var log bytes.Buffer
		filter, err := translogger.New(translogger.Config{Output: &log, Format: format})
		if err != nil {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.Header.Set("User-Agent", agent)
		filter(write("")).ServeHTTP(httptest.NewRecorder(), r)
		if got, want := strings.Count(log.String(), "\n"), strings.Count(format,
			"\n")+1; got != want {
			t.Errorf("got %d lines, want %d: %q", got, want, &log)
		}
	})
}
