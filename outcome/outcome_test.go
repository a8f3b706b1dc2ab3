package outcome_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/outcome"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

var errSecret = errors.New("password=hunter2")

func request(ctx context.Context, method string) *http.Request {
	return httptest.NewRequestWithContext(ctx, method, "/path", nil)
}

func TestHandlerFunc(t *testing.T) {
	t.Parallel()
	failing := outcome.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return errSecret })
	fine := outcome.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { fmt.Fprint(w, "fine"); return nil })

	recorder := httptest.NewRecorder()
	failing.ServeHTTP(recorder, request(t.Context(), http.MethodGet))
	if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "hunter2") {
		t.Errorf("nobody listens: %d %q", recorder.Code, recorder.Body)
	}

	ctx, slot := outcome.NewContext(t.Context())
	recorder = httptest.NewRecorder()
	fine.ServeHTTP(recorder, request(ctx, http.MethodGet))
	if recorder.Body.String() != "fine" || slot.Err() != nil {
		t.Errorf("fine: %q, %v", recorder.Body, slot.Err())
	}
	recorder = httptest.NewRecorder()
	failing.ServeHTTP(recorder, request(ctx, http.MethodGet))
	if recorder.Body.Len() > 0 || !errors.Is(slot.Err(), errSecret) {
		t.Errorf("somebody listens: %q, %v", recorder.Body, slot.Err())
	}
}

func TestSlot(t *testing.T) {
	t.Parallel()
	if _, ok := outcome.FromContext(t.Context()); ok || outcome.Fail(t.Context(), errSecret) {
		t.Error("a slot out of nowhere")
	}
	type key struct{}
	ctx, slot := outcome.NewContext(context.WithValue(t.Context(), key{}, "value"))
	if found, ok := outcome.FromContext(ctx); !ok || found != slot || ctx.Value(key{}) != "value" {
		t.Error("the context lost something")
	}
	slot.Amend(func(error) error { t.Error("nothing to amend"); return nil })
	slot.Fail(nil)
	if slot.Err() != nil {
		t.Errorf("nil recorded as %v", slot.Err())
	}
	if !outcome.Fail(ctx, errSecret) {
		t.Error("nobody listens")
	}
	slot.Fail(errors.New("a consequence"))
	if !errors.Is(slot.Err(), errSecret) {
		t.Errorf("got %v", slot.Err())
	}
	slot.Amend(transaction.Transient)
	if !transaction.IsTransient(slot.Err()) || !errors.Is(slot.Err(), errSecret) {
		t.Errorf("amended: %v", slot.Err())
	}

	if slot.Kept() {
		t.Error("kept out of nowhere")
	}
	slot.Keep()
	if !slot.Kept() || !errors.Is(slot.Err(), errSecret) {
		t.Errorf("kept %v, %v", slot.Kept(), slot.Err())
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"plain", errSecret, 500},
		{"own", outcome.WithStatus(404, errSecret), 404},
		{"own, wrapped", fmt.Errorf("x: %w", outcome.WithStatus(404, errSecret)), 404},
		{"the outermost counts", outcome.WithStatus(409, outcome.WithStatus(404, errSecret)), 409},
		{"transient", fmt.Errorf("x: %w", transaction.Transient(errSecret)), 503},
		{"transient with own", outcome.WithStatus(409, transaction.Transient(errSecret)), 409},
		{"in doubt", transaction.Transient(transaction.ErrInDoubt), 500},
		{"too late", fmt.Errorf("query: %w", context.DeadlineExceeded), 503},
		{"too late, with own", outcome.WithStatus(504, context.DeadlineExceeded), 504},
		{"too large", fmt.Errorf("x: %w", &http.MaxBytesError{Limit: 1}), 413},
		{"a success", outcome.WithStatus(200, errSecret), 500},
		{"a redirect", outcome.WithStatus(303, errSecret), 500},
		{"nonsense", outcome.WithStatus(1000, errSecret), 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := outcome.Status(tt.err); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if !errors.Is(tt.err, errSecret) && tt.name[0] != 't' && tt.name != "in doubt" {
				t.Error("the error is lost")
			}
		})
	}
	if outcome.WithStatus(404, nil) != nil {
		t.Error("a status makes an error of nil")
	}
}

func TestRespond(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context //nolint:containedctx // of the request
		method string
		err    error
		status int
		body   string
		retry  string
	}{
		{"error", t.Context(), "GET", errSecret, 500, "Internal Server Error\n", ""},
		{"client's", t.Context(), "GET", outcome.WithStatus(422, errSecret), 422, "Unprocessable Entity\n", ""},
		{"conflict", t.Context(), "GET", transaction.Transient(errSecret), 503, "Service Unavailable\n", "1"},
		{"unavailable", t.Context(), "GET", outcome.WithStatus(503, errSecret), 503, "Service Unavailable\n", ""},
		{"head", t.Context(), "HEAD", errSecret, 500, "", ""},
		{
			"public", t.Context(), "GET", fmt.Errorf("session 0815: %w", session.ErrRenewed), 409,
			"The session has been renewed meanwhile. Send the request again.\n", "",
		},
		{"gone", gone, "GET", fmt.Errorf("query: %w", context.Canceled), 499, "Status 499\n", ""},
		{"cancelled by itself", t.Context(), "GET", context.Canceled, 500, "Internal Server Error\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			recorder := httptest.NewRecorder()
			recorder.Header().Set("Content-Length", "1000")
			recorder.Header().Set("Content-Encoding", "gzip")
			recorder.Header().Set("ETag", `"1"`)
			recorder.Header().Set("X-Outer", "kept")
			outcome.Respond(recorder, request(tt.ctx, tt.method), tt.err)
			header := recorder.Header()
			if recorder.Code != tt.status || recorder.Body.String() != tt.body || header.Get("Retry-After") != tt.retry {
				t.Errorf("got %d %q, Retry-After %q", recorder.Code, recorder.Body, header.Get("Retry-After"))
			}
			if header.Get("Content-Length")+header.Get("Etag") != "" || header.Get("X-Outer") != "kept" || header.Get("Content-Encoding") != "gzip" {
				t.Errorf("header %v", header)
			}
		})
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	outcome.Log(nil, "discarded", request(t.Context(), "GET"), errSecret)
	for err, want := range map[error]string{
		errSecret:                          "level=ERROR msg=failed method=GET path=/path status=500 error=\"password=hunter2\" count=3\n",
		transaction.Transient(errSecret):   "level=WARN msg=failed method=GET path=/path status=503 error=\"password=hunter2\" count=3\n",
		outcome.WithStatus(400, errSecret): "level=INFO msg=failed method=GET path=/path status=400 error=\"password=hunter2\" count=3\n",
	} {
		var text bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		outcome.Log(logger, "failed", request(t.Context(), "GET"), err, slog.Int("count", 3))
		if text.String() != want {
			t.Errorf("got %q, want %q", text.String(), want)
		}
	}
}
