package handler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/transaction"
)

var errSecret = errors.New("password=hunter2")

func request(ctx context.Context, method string) *http.Request {
	return httptest.NewRequestWithContext(ctx, method, "/path", nil)
}

func failing(err error) http.Handler {
	return handler.Func(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Dropped", "yes")
		return err
	})
}

func TestFunc(t *testing.T) {
	t.Parallel()
	fine := handler.Func(func(w http.ResponseWriter, _ *http.Request) error { fmt.Fprint(w, "fine"); return nil })

	recorder := httptest.NewRecorder()
	failing(errSecret).ServeHTTP(recorder, request(t.Context(), http.MethodGet))
	if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "hunter2") || recorder.Header().Get("X-Dropped") != "" {
		t.Errorf("without a filter: %d %q %v", recorder.Code, recorder.Body, recorder.Header())
	}

	ctx, result := attempt.NewContext(t.Context())
	recorder = httptest.NewRecorder()
	fine.ServeHTTP(recorder, request(ctx, http.MethodGet))
	if recorder.Body.String() != "fine" || result.Err() != nil {
		t.Errorf("fine: %q, %v", recorder.Body, result.Err())
	}
	recorder = httptest.NewRecorder()
	failing(errSecret).ServeHTTP(recorder, request(ctx, http.MethodGet))
	if recorder.Body.Len() > 0 || !errors.Is(result.Err(), errSecret) {
		t.Errorf("with a filter: %q, %v", recorder.Body, result.Err())
	}
}

// filters are the ways in which a handler may be wrapped.
func filters(t *testing.T) map[string]func(http.Handler) http.Handler {
	t.Helper()
	withTM := tm.New(tm.Config{})
	withRetry, err := retry.New(retry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(http.Handler) http.Handler{
		"none":         func(next http.Handler) http.Handler { return next },
		"tm":           withTM,
		"retry":        withRetry,
		"retry and tm": func(next http.Handler) http.Handler { return withRetry(withTM(next)) },
	}
}

// The client reads the public message alone, in the media type that it prefers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	taken := &handler.Error{
		Status: http.StatusConflict, Message: "The name <b> is taken.", Err: errSecret,
		Type: "https://example.org/taken", Extra: map[string]any{"name": "b", "status": 1, "title": "x"},
	}
	const (
		plain   = "text/plain; charset=utf-8"
		page    = "text/html; charset=utf-8"
		problem = "application/problem+json"
	)
	for name, filter := range filters(t) {
		for _, tt := range []struct {
			accept string
			err    error
			status int
			kind   string
			want   string
		}{
			{"", taken, 409, plain, "The name <b> is taken.\n"},
			{"*/*", taken, 409, plain, "The name <b> is taken.\n"},
			{"image/png", taken, 409, plain, "The name <b> is taken.\n"},
			{"text/html,application/xhtml+xml,*/*;q=0.8", fmt.Errorf("wrapped: %w", taken), 409, page, "<p>The name &lt;b&gt; is taken.</p>"},
			{"application/json, text/plain, */*", taken, 409, problem, `"detail":"The name \u003cb\u003e is taken."`},
			{"application/problem+json", taken, 409, problem, `"type":"https://example.org/taken"`},
			{"application/json;q=0.5, text/html;q=0.4", taken, 409, problem, `"name":"b"`},
			{"application/json;q=0, text/html", taken, 409, page, "<h1>Conflict</h1>"},
			{"application/*", errSecret, 500, problem, `{"status":500,"title":"Internal Server Error"}`},
			{"text/html", errSecret, 500, page, "<title>500 Internal Server Error</title>"},
			{"", &handler.Error{Status: 404, Err: errSecret}, 404, plain, "Not Found\n"},
			{"", &handler.Error{Status: 200, Message: "Nonsense."}, 500, plain, "Nonsense.\n"},
			{"application/json", &handler.Error{Status: 422, Extra: map[string]any{"f": func() {}}}, 422, plain, "Unprocessable Entity\n"},
		} {
			t.Run(name+"/"+tt.accept+"/"+tt.want, func(t *testing.T) {
				t.Parallel()
				r := request(t.Context(), http.MethodPost)
				if tt.accept != "" {
					r.Header.Set("Accept", tt.accept)
				}
				w := httptest.NewRecorder()
				filter(failing(tt.err)).ServeHTTP(w, r)
				header := w.Header()
				if w.Code != tt.status || header.Get("Content-Type") != tt.kind || !strings.Contains(w.Body.String(), tt.want) {
					t.Errorf("got %d %s %s", w.Code, header.Get("Content-Type"), w.Body)
				}
				if strings.Contains(w.Body.String(), "hunter2") || header.Get("X-Dropped") != "" {
					t.Errorf("the answer has what it must not have: %v %s", header, w.Body)
				}
				if header.Get("Vary") != "Accept" || header.Get("Cache-Control") != "no-store" {
					t.Errorf("header %v", header)
				}
				if tt.kind == problem && !json.Valid(w.Body.Bytes()) {
					t.Errorf("not JSON: %s", w.Body)
				}
			})
		}
	}
}

// The app's responder answers, once, also for a commit that fails and for the last of several attempts.
func TestResponder(t *testing.T) {
	t.Parallel()
	for name, filter := range filters(t) {
		for _, tt := range []struct {
			name   string
			err    error
			want   string
			status int
		}{
			{"an error", &handler.Error{Status: 404, Message: "No such page."}, "sorry: 404", 404},
			{"a conflict", transaction.Transient(errSecret), "sorry: 503", 503},
			{"an error that the responder leaves", &handler.Error{Status: 410, Message: "It is gone."}, "It is gone.\n", 410},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				calls := 0
				outer := handler.Responder(func(http.ResponseWriter, *http.Request, error) { t.Error("the outer one is called") })
				inner := handler.Responder(func(w http.ResponseWriter, _ *http.Request, err error) {
					calls++
					if status := handler.Status(err); status != http.StatusGone {
						w.WriteHeader(status)
						fmt.Fprintf(w, "sorry: %d", status)
					}
				})
				w := httptest.NewRecorder()
				filter(outer(inner(failing(tt.err)))).ServeHTTP(w, request(t.Context(), http.MethodGet))
				if w.Code != tt.status || w.Body.String() != tt.want || calls != 1 {
					t.Errorf("got %d %q after %d calls", w.Code, w.Body, calls)
				}
			})
		}
	}
	t.Run("a commit that fails", func(t *testing.T) {
		t.Parallel()
		app := handler.Responder(func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "not saved", handler.Status(err))
		})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			txn, _ := transaction.FromContext(r.Context())
			txn.BeforeCommit(func(context.Context) error { return errSecret })
		}))
		w := httptest.NewRecorder()
		filters(t)["tm"](app).ServeHTTP(w, request(t.Context(), http.MethodGet))
		if w.Code != 500 || w.Body.String() != "not saved\n" {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	})
}

func TestError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*handler.Error{
		"Not Found":                      {Status: 404},
		"No such page.":                  {Status: 404, Message: "No such page."},
		"password=hunter2":               {Status: 404, Err: errSecret},
		"No such page: password=hunter2": {Status: 404, Message: "No such page.", Err: errSecret},
	} {
		if err.Error() != want || err.Err != nil && !errors.Is(err, errSecret) {
			t.Errorf("got %q, want %q", err.Error(), want)
		}
	}
}
