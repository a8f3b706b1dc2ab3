package attempt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

var errSecret = errors.New("password=hunter2")

func request(ctx context.Context, method string) *http.Request {
	return httptest.NewRequestWithContext(ctx, method, "/path", nil)
}

func TestResult(t *testing.T) {
	t.Parallel()
	if _, ok := attempt.FromContext(t.Context()); ok || attempt.Fail(t.Context(), errSecret) {
		t.Error("a result out of nowhere")
	}
	type key struct{}
	ctx, result := attempt.NewContext(context.WithValue(t.Context(), key{}, "value"))
	if found, ok := attempt.FromContext(ctx); !ok || found != result || ctx.Value(key{}) != "value" {
		t.Error("the context lost something")
	}
	result.Wrap(func(error) error { t.Error("nothing to amend"); return nil })
	result.Fail(nil)
	if result.Err() != nil {
		t.Errorf("nil recorded as %v", result.Err())
	}
	if !attempt.Fail(ctx, errSecret) {
		t.Error("nobody listens")
	}
	result.Fail(errors.New("a consequence"))
	if !errors.Is(result.Err(), errSecret) {
		t.Errorf("got %v", result.Err())
	}
	result.Wrap(transaction.Transient)
	if !transaction.IsTransient(result.Err()) || !errors.Is(result.Err(), errSecret) {
		t.Errorf("amended: %v", result.Err())
	}

	if result.Committed() {
		t.Error("kept out of nowhere")
	}
	result.SetCommitted()
	if !result.Committed() || !errors.Is(result.Err(), errSecret) {
		t.Errorf("kept %v, %v", result.Committed(), result.Err())
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
		{"own", attempt.WithStatus(404, errSecret), 404},
		{"own, wrapped", fmt.Errorf("x: %w", attempt.WithStatus(404, errSecret)), 404},
		{"the outermost counts", attempt.WithStatus(409, attempt.WithStatus(404, errSecret)), 409},
		{"transient", fmt.Errorf("x: %w", transaction.Transient(errSecret)), 503},
		{"transient with own", attempt.WithStatus(409, transaction.Transient(errSecret)), 409},
		{"in doubt", transaction.Transient(transaction.ErrInDoubt), 500},
		{"too late", fmt.Errorf("query: %w", context.DeadlineExceeded), 503},
		{"too late, with own", attempt.WithStatus(504, context.DeadlineExceeded), 504},
		{"too large", fmt.Errorf("x: %w", &http.MaxBytesError{Limit: 1}), 413},
		{"a success", attempt.WithStatus(200, errSecret), 500},
		{"a redirect", attempt.WithStatus(303, errSecret), 500},
		{"nonsense", attempt.WithStatus(1000, errSecret), 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := attempt.Status(tt.err); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if !errors.Is(tt.err, errSecret) && tt.name[0] != 't' && tt.name != "in doubt" {
				t.Error("the error is lost")
			}
		})
	}
	if attempt.WithStatus(404, nil) != nil {
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
		{"client's", t.Context(), "GET", attempt.WithStatus(422, errSecret), 422, "Unprocessable Entity\n", ""},
		{"conflict", t.Context(), "GET", transaction.Transient(errSecret), 503, "Service Unavailable\n", "1"},
		{"unavailable", t.Context(), "GET", attempt.WithStatus(503, errSecret), 503, "Service Unavailable\n", ""},
		{"head", t.Context(), "HEAD", errSecret, 500, "", ""},
		{
			"public", t.Context(), "GET", fmt.Errorf("session 0815: %w", session.ErrRenewed), 409,
			"Another request has just renewed your session. Send this request again.\n", "",
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
			attempt.Respond(recorder, request(tt.ctx, tt.method), tt.err)
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
	attempt.Log(nil, "discarded", request(t.Context(), "GET"), errSecret)
	for err, want := range map[error]string{
		errSecret:                          "level=ERROR msg=failed method=GET path=/path status=500 error=\"password=hunter2\" count=3\n",
		transaction.Transient(errSecret):   "level=WARN msg=failed method=GET path=/path status=503 error=\"password=hunter2\" count=3\n",
		attempt.WithStatus(400, errSecret): "level=INFO msg=failed method=GET path=/path status=400 error=\"password=hunter2\" count=3\n",
	} {
		var text bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		attempt.Log(logger, "failed", request(t.Context(), "GET"), err, slog.Int("count", 3))
		if text.String() != want {
			t.Errorf("got %q, want %q", text.String(), want)
		}
	}
}
