package retry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
)

// The allocations that the filters may add to a small response of the bare handler.
func TestAllocations(t *testing.T) {
	bare := router()
	again, transact := mustRetry(t, retry.Config{}), tm.New(tm.Config{})
	measure := func(handler http.Handler) float64 {
		r := browserRequest(t)
		first := httptest.NewRecorder()
		handler.ServeHTTP(first, r)
		for _, cookie := range first.Result().Cookies() { // the second request sends the cookie
			r.AddCookie(cookie)
		}
		w := &nullWriter{http.Header{}}
		return testing.AllocsPerRun(200, func() {
			clear(w.header)
			handler.ServeHTTP(w, r)
		})
	}
	baseline := measure(bare)
	for _, tt := range []struct {
		name    string
		handler http.Handler
		budget  float64
	}{
		// round, request, header (2)
		{"retry", again(bare), 4},
		{"tm", transact(bare), 5},              // response, header (2), transaction, decision
		{"retry+tm", again(transact(bare)), 5}, // both filters share one request
		{"browserid+retry+tm", composed(t, retry.Config{}, tm.Config{})(bare), 6},
	} {
		if got := measure(tt.handler) - baseline; got > tt.budget && !raceEnabled {
			t.Errorf("%s: %.0f allocations more than the bare handler's %.0f, want at most %.0f",
				tt.name, got, baseline, tt.budget)
		}
	}
}
