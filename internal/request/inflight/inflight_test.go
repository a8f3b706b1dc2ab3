package inflight_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/internal/request/inflight"
)

// A request that takes long is named, and its query is not.
func Example() {
	var running inflight.Set
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var request inflight.Request
		running.Begin(&request, r)
		defer running.End(&request)
		fmt.Println(running.Attrs()...)
	})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/slow?token=secret", http.NoBody))
	fmt.Println(running.Len())
	// Output:
	// requests=1 oldest=[GET "/slow" for 0s]
	// 0
}

func TestSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set inflight.Set
		var requests [8]inflight.Request
		for i := range requests {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("/%d?q=secret", i), http.NoBody)
			if i == 7 {
				r.Header.Set("Upgrade", "websocket")
				r.URL.Path = strings.Repeat("x", 1000)
			}
			set.Begin(&requests[i], r)
			time.Sleep(time.Second)
		}
		const all = `[requests=8 oldest=[POST "/0" for 8s POST "/1" for 7s POST "/2" for 6s POST "/3" for 5s POST "/4" for 4s]]`
		if got := fmt.Sprint(set.Attrs()); got != all {
			t.Errorf("got %s, want %s", got, all)
		}
		for _, i := range []int{0, 3, 6, 1, 2, 5} { // from the start, the middle and near the end
			set.End(&requests[i])
		}
		want := `[requests=2 oldest=[POST "/4" for 4s POST "` + strings.Repeat("x", 100) + `…" for 1s (asked for "websocket")]]`
		if got := fmt.Sprint(set.Attrs()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		set.End(&requests[7])
		set.End(&requests[4])
		if got := fmt.Sprint(set.Attrs()); got != "[requests=0 oldest=[]]" || set.Len() != 0 {
			t.Errorf("got %s, want none", got)
		}
	})
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	var set inflight.Set
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				var request inflight.Request
				set.Begin(&request, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
				_ = set.Attrs()
				set.End(&request)
			}
		})
	}
	wg.Wait()
	if set.Len() != 0 {
		t.Errorf("%d are left", set.Len())
	}
}
