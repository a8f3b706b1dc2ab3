//go:build !race

package browserid_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

// TestAllocations checks the allocations of a request with a valid cookie: the filter's state with
// the request for the next handler. Under the race detector, sync.Pool drops items at random, so
// the test is skipped.
func TestAllocations(t *testing.T) {
	tests := []struct {
		name   string
		config browserid.Config
		budget float64
	}{
		{"default", browserid.Config{}, 1},
		{"rotated", browserid.Config{OldSecretKeys: []pipeline.Secret{"a former secret"}}, 1},
		{"lazy", browserid.Config{Lazy: true}, 1},
		{"vary", browserid.Config{Vary: []string{"REMOTE_ADDR", "HTTP_USER_AGENT"}}, 2},
	}
	for _, tt := range tests {
		h, r := known(t, tt.config)
		w := discard{http.Header{}}
		if got := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); got > tt.budget {
			t.Errorf("%s: %v allocations, the budget is %v", tt.name, got, tt.budget)
		}
		if len(w.header) > 0 {
			t.Errorf("%s: a cookie was issued: %v", tt.name, w.header)
		}
	}
}

// TestAllocationsOfNewBrowser checks the allocations of a request that is answered with a cookie:
// the above, the id, the text of the cookie, and the lists of two header fields.
func TestAllocationsOfNewBrowser(t *testing.T) {
	h, _ := known(t, browserid.Config{CookieLifetime: time.Hour, CookieSecure: browserid.SecureOn})
	r := get()
	w := discard{http.Header{}}
	got := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if got > 5 {
		t.Errorf("%v allocations, the budget is 5", got)
	}
	if len(w.header["Set-Cookie"]) != 1 {
		t.Errorf("no cookie was issued: %v", w.header)
	}
}
