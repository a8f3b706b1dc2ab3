package load_test

import (
	"bytes"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/bench/load"
)

func TestRunCounts(t *testing.T) {
	var calls atomic.Int64
	odd := errors.New("odd")
	stats := load.Run(4, load.Times(100), func(int) error {
		if calls.Add(1)%2 == 1 {
			return odd
		}
		return nil
	})
	if stats.Done != 50 || stats.Failed != 50 || !errors.Is(stats.Err, odd) {
		t.Errorf("got %d done, %d failed, %v; want 50, 50, odd", stats.Done,
			stats.Failed, stats.Err)
	}
	if stats.P50 > stats.P99 || stats.P99 > stats.Max || stats.Max > stats.Elapsed {
		t.Errorf("p50 %v, p99 %v, longest %v, in all %v: want them in order", stats.P50, stats.P99,
			stats.Max, stats.Elapsed)
	}
}

func TestClientKeepsCookie(t *testing.T) {
	client := load.NewClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("id"); err == nil {
			_, _ = w.Write([]byte(cookie.Value))
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "42", Path: "/"})
	}))
	for _, want := range []string{"", "42", "42"} {
		response, err := client.Do(t.Context(), "GET", "/")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(response.Body); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLine(t *testing.T) {
	var b bytes.Buffer
	if err := load.Line(&b, "Start/who=us", 3, load.Nanoseconds(1500*time.Microsecond, "start-ns"),
		load.Metric{Value: 0.5, Unit: "lost"}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "BenchmarkStart/who=us 3 1.5e+06 start-ns 0.5 lost\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
