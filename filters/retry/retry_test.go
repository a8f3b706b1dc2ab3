package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction"
)

var errRace = errors.New("lost a race")

// conflicting returns an app that fails with a transient error before the given attempt.
func conflicting(until int) http.Handler {
	return handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		if attempt.Number < until {
			return transaction.Transient(errRace)
		}
		fmt.Fprint(w, attempt.Number)
		return nil
	})
}

func get(t *testing.T, h http.Handler) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/path", nil))
	return recorder
}

func messages(l *logged) []string {
	var all []string
	for _, r := range l.records {
		all = append(all, fmt.Sprintf("%s %s %v", r.Level, r.Message, attr(r, "count")))
	}
	return all
}

// Only the failure of the last attempt is logged as an error.
func TestLog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		app   http.Handler
		after int
		want  []string
	}{
		{"none", conflicting(1), 0, nil},
		{"retried", conflicting(3), 0, []string{"INFO retrying 1", "INFO retrying 2"}},
		{"retried, below the logged count", conflicting(3), 2, []string{"INFO retrying 2"}},
		{"given up", conflicting(4), 0, []string{
			"INFO retrying 1", "INFO retrying 2",
			"WARN request failed 3",
		}},
		{"given up, below the logged count", conflicting(4), 9, []string{"WARN request failed 3"}},
		{
			"fault", handler.Func(func(http.ResponseWriter, *http.Request) error { return errOther }),
			0,
			[]string{"ERROR request failed 1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log logged
			get(t, mustRetry(t, retry.Config{
				LogAfterTryCount: tt.after,
				Logger:           slog.New(&log),
			})(tt.app))
			if diff := cmp.Diff(tt.want, messages(&log)); diff != "" {
				t.Error(diff)
			}
			for _, r := range log.records {
				if attr(r, "path").String() != "/path" || attr(r, "method").String() != "GET" ||
					attr(r, "error").Any() == nil {
					t.Errorf("record %v lacks attributes", r)
				}
			}
		})
	}
}

func TestOnRetry(t *testing.T) {
	t.Parallel()
	var got []string
	config := retry.Config{OnRetry: func(r *http.Request, err error) {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		got = append(got, fmt.Sprint(r.URL.Path, " ", attempt.Number, " ", errors.Is(err, errRace)))
	}}
	get(t, mustRetry(t, config)(conflicting(9)))
	if diff := cmp.Diff([]string{"/path 2 true", "/path 3 true"}, got); diff != "" {
		t.Error(diff)
	}
}

// The delay before the next attempt ends when the client disconnects.
func TestBackoffEndsWithTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start, calls := time.Now(), 0
		h := mustRetry(t, retry.Config{Delay: time.Hour})(handler.Func(func(http.ResponseWriter,
			*http.Request,
		) error {
			calls++
			return transaction.Transient(errRace)
		}))
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if calls != 1 || time.Since(start) != time.Second ||
			recorder.Code != http.StatusServiceUnavailable {
			t.Errorf("%d calls, %v, status %d", calls, time.Since(start), recorder.Code)
		}
	})
}

// waiting is a conflict that makes the next attempt wait (a Waiter).
type waiting struct{ held *atomic.Int32 }

func (waiting) Error() string   { return "conflict" }
func (waiting) Transient() bool { return true }
func (w waiting) Wait(ctx context.Context) (context.Context, func(), error) {
	w.held.Add(1)
	return context.WithValue(ctx, waitKey{}, "mine"), func() { w.held.Add(-1) }, nil
}

type waitKey struct{}

// The place in the key queue is kept while the attempt runs, and released before the response is
// sent and after a panic.
func TestQueuePlaceEndsWithAttempt(t *testing.T) {
	t.Parallel()
	var held atomic.Int32
	h := mustRetry(t, retry.Config{})(tm.New(tm.Config{})(handler.Func(func(w http.ResponseWriter,
		r *http.Request,
	) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		if got := held.Load(); got != int32(min(attempt.Number-1, 1)) {
			t.Errorf("attempt %d has %d places in the queue", attempt.Number, got)
		}
		if (r.Context().Value(waitKey{}) != nil) != (attempt.Number > 1) {
			t.Error("the value of the Waiter is not in the context")
		}
		if attempt.Number < 3 {
			return fmt.Errorf("wrapped: %w", waiting{&held})
		}
		if r.URL.Path == "/panic" {
			panic("oops")
		}
		fmt.Fprint(w, "done")
		return nil
	})))
	for _, path := range []string{"/", "/panic"} {
		w := &onWrite{ResponseRecorder: httptest.NewRecorder(), f: func() {
			if held.Load() != 0 {
				t.Error("the place in the queue is kept while the response is sent")
			}
		}}
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		}()
		if held.Load() != 0 {
			t.Errorf("%s: a place in the queue is still kept", path)
		}
	}
}

type onWrite struct {
	*httptest.ResponseRecorder
	f func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	w.f()
	return w.ResponseRecorder.Write(p)
}

// A stream releases its place in the key queue at the first flush.
func TestQueuePlaceOfStream(t *testing.T) {
	t.Parallel()
	var held atomic.Int32
	get(t, mustRetry(t,
		retry.Config{})(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if attempt, _ := transaction.AttemptFromContext(r.Context()); attempt.Number == 1 {
			return waiting{&held}
		}
		if held.Load() != 1 {
			t.Errorf("%d places in the queue are kept before the flush", held.Load())
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if held.Load() != 0 {
			t.Errorf("%d places in the queue are kept after the flush", held.Load())
		}
		return nil
	})))
}

// The temporary files of an uploaded form are removed after each attempt.
func TestUploadedFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, chain := range chains(t) {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(part, strings.Repeat("x", 1<<20))
		if err := form.Close(); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		recorder := httptest.NewRecorder()
		chain(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
			if err := r.ParseMultipartForm(1); err != nil {
				return err
			}
			file, _, err := r.FormFile("file")
			if err != nil {
				return err
			}
			defer file.Close()
			if attempt, ok := transaction.AttemptFromContext(r.Context()); ok &&
				name != "tm+retry" && !attempt.Last() {
				return transaction.Transient(errRace)
			}
			n, err := io.Copy(io.Discard, file)
			fmt.Fprint(w, n)
			return err
		})).ServeHTTP(recorder, r)
		if recorder.Body.String() != "1048576" {
			t.Errorf("%s: %d %q", name, recorder.Code, recorder.Body)
		}
		left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*")
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
}

// A second retry passes requests on; a retry inside of a transaction does so, too, and logs it
// once.
func TestNested(t *testing.T) {
	t.Parallel()
	var log logged
	calls := 0
	app := handler.Func(func(http.ResponseWriter, *http.Request) error {
		calls++
		return transaction.Transient(errRace)
	})
	inner := mustRetry(t, retry.Config{Tries: 5, Logger: slog.New(&log)})(app)
	get(t, mustRetry(t, retry.Config{})(inner))
	if calls != 3 || len(log.records) != 0 {
		t.Errorf("retry in retry: %d calls, log %v", calls, messages(&log))
	}
	calls = 0
	outer := tm.New(tm.Config{})(inner)
	for range 2 {
		if got := get(t, outer); got.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", got.Code)
		}
	}
	if calls != 2 || len(log.records) != 1 || log.records[0].Level != slog.LevelWarn {
		t.Errorf("retry in tm: %d calls, log %v", calls, messages(&log))
	}
}

// The filter works inside of a chi router: every attempt is routed as the first.
func TestInsideChi(t *testing.T) {
	t.Parallel()
	router := chi.NewRouter()
	router.Use(mustRetry(t, retry.Config{}))
	router.Route("/api/{version}", func(r chi.Router) {
		r.Get("/things/{thing}", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
			attempt, _ := transaction.AttemptFromContext(r.Context())
			if !attempt.Last() {
				return transaction.Transient(errRace)
			}
			_, err := fmt.Fprint(w, attempt.Number, chi.URLParam(r, "version"),
				chi.URLParam(r, "thing"), chi.RouteContext(r.Context()).URLParams.Keys)
			return err
		}).ServeHTTP)
	})
	for server := range protocols(t, router) {
		want := "3v1x[version * thing]"
		if got := ask(t, server, http.MethodGet, "/api/v1/things/x", nil); got.Status !=
			http.StatusOK || got.Body != want {
			t.Errorf("got %d %q, want %q", got.Status, got.Body, want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	_, err := retry.New(retry.Config{
		Tries: -1, LogAfterTryCount: -1, Delay: -1,
		DelayFactor: -1, Jitter: 2,
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		"tries", "log_after_try_count", "delay",
		"delay factor", "jitter",
	} {
		if !strings.Contains(err.Error(), want+" = ") {
			t.Errorf("%q does not contain %s", err, want)
		}
	}
}

// load builds retry, with settings, around conflicting(until).
func load(t *testing.T, until int, settings string) (*pipeline.Pipeline, error) {
	t.Helper()
	r := pipeline.NewRegistry()
	retry.Register(r)
	tm.Register(r)
	pipeline.Value(r, "errors:Other",
		retry.Predicate(func(err error) bool { return errors.Is(err, errOther) }))
	pipeline.Value(r, "hook", retry.Hook(func(*http.Request, error) {}))
	pipeline.App(r, "egg:test#app",
		func(*pipeline.Build, struct{}) (http.Handler, error) { return conflicting(until), nil })
	text := "[DEFAULT]\nx = y\n[pipeline:main]\npipeline = retry egg:repoze.tm2#tm " +
		"egg:test#app\n[filter:retry]\nuse = egg:repoze.retry#retry\n" + settings
	path := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: r})
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func TestLoadedSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		until    int
		settings string
		status   int
	}{
		{"defaults", 3, "", 200},
		{"three by default", 4, "", 503},
		{"tries", 5, "tries = 5", 200},
		{"one try", 2, "tries = 0", 503},
		{"no error is retryable", 2, "retryable =", 503},
		{"nothing in memory", 2, "highwater = 0", 200},
		{"named predicates", 3, "retryable = errors:Other\n  ZODB.POSException:ConflictError", 200},
		{"a predicate that returns false", 2, "retryable = errors:Other", 503},
		{"all", 3, "tries = 3\nretryable = transient transaction.interfaces:TransientError " +
			"ZPublisher:Retry\nhighwater = 1MB\ndelay = 0.000001\n" +
			"delay_factor = 0\nmax_delay = 1\njitter = 0.5\nlog_after_try_count = 2\nmax_body = " +
			"0\nmax_response = 0\non_retry = hook", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t, tt.until, tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			if got := get(t, p).Code; got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"tries = -1":               "site.ini:7: ",
		"on_retry =":               "on_retry: empty: want a value, or no such line",
		"tries = thre":             "whole number",
		"retryable = transiente":   `did you mean "transient"`,
		"on_retry = hok":           `did you mean "hook"`,
		"jitter = 2":               "jitter",
		"highwater = -1":           "highwater",
		"delay = -1":               "delay",
		"log_after_try_count = -1": "log_after_try_count",
		"max_tries = 3":            "unknown setting",
	} {
		if _, err := load(t, 1, settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something with %q", settings, err, want)
		}
	}
}

// The same as FuzzReplay in internal/request/replay, through a server, with reads of any size.
func TestBodyInPieces(t *testing.T) {
	t.Parallel()
	h := mustRetry(t, retry.Config{
		Tries:     5,
		HighWater: 20 << 10,
	})(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		if !attempt.Last() {
			_, _ = io.CopyN(io.Discard, r.Body, int64(attempt.Number*attempt.Number*3000))
			return transaction.Transient(errRace)
		}
		_, err := io.Copy(w, r.Body)
		return err
	}))
	for server := range protocols(t, h) {
		text := strings.Repeat("0123456789abcdef~", 7000)
		if got := ask(t, server, http.MethodPost, "/",
			onlyReader{strings.NewReader(text)}); got.Body != text {
			t.Errorf("status %d, %d bytes, want %d", got.Status, len(got.Body), len(text))
		}
	}
}
