package cascade_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/apps/cascade"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

// The cascade stands behind the filters, or the filters stand in front of one of its apps. In both
// cases a request is run again after a conflict, and the work of the app whose answer is sent is
// committed.
func TestWithRetryAndTransactions(t *testing.T) {
	t.Parallel()
	retryFilter, err := retry.New(retry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tmFilter := tm.New(tm.Config{})
	filters := func(app http.Handler) http.Handler { return retryFilter(tmFilter(app)) }

	// The app conflicts in its first two attempts, and then answers with the status that its path
	// names.
	newApp := func(log *[]string) http.Handler {
		attempts := 0
		return handler.Func(func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			txn, ok := transaction.FromContext(r.Context())
			if !ok {
				t.Error("no transaction")
				return nil
			}
			txn.AfterCommit(func(_ context.Context, committed bool) {
				if committed {
					*log = append(*log, "committed "+string(body))
				}
			})
			if attempts++; attempts < 3 {
				w.Header().Add("Set-Cookie", "failed=1")
				return transaction.Transient(io.ErrNoProgress)
			}
			switch r.URL.Path {
			case "/none":
				w.WriteHeader(http.StatusNotFound)
			case "/error":
				return &handler.Error{Status: http.StatusForbidden, Err: io.ErrUnexpectedEOF}
			}
			w.Header().Add("Set-Cookie", "good=1")
			io.WriteString(w, "app")
			return nil
		})
	}
	tests := []struct {
		target     string
		wantStatus int
		wantBody   string
		wantCookie string
		inside     string // the committed writes if the cascade stands behind the filters
		around     string // the committed writes if the filters stand in front of the first app
	}{
		{"/good", 200, "app", "good=1", "committed text", "committed text"},
		{"/none", 200, "site", "", "committed text", "committed text"},
		{"/error", 403, "Forbidden\n", "", "", ""},
	}
	site := http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		io.WriteString(w, "site")
	})
	for _, tt := range tests {
		for _, around := range []bool{false, true} {
			var log []string
			app := newApp(&log)
			want := tt.inside
			var h http.Handler
			if around {
				want = tt.around
				h = newCascade(t, cascade.Config{Apps: []http.Handler{filters(app), site}})
			} else {
				h = filters(newCascade(t, cascade.Config{Apps: []http.Handler{app, site}}))
			}
			server := httptest.NewServer(h)
			resp, err := server.Client().Post(server.URL+tt.target, "text/plain",
				strings.NewReader("text"))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			server.Close()
			if resp.StatusCode != tt.wantStatus || string(body) != tt.wantBody ||
				resp.Header.Get("Set-Cookie") != tt.wantCookie {
				t.Errorf("%s, around %v: got %d %q %v", tt.target, around, resp.StatusCode, body,
					resp.Header)
			}
			if got := strings.Join(log, "; "); got != want {
				t.Errorf("%s, around %v: got %q, want %q", tt.target, around, got, want)
			}
		}
	}
}
