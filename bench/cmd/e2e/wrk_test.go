package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestIncrements(t *testing.T) {
	for _, tt := range []struct {
		name          string
		connections   int
		requests      int
		before, after []int
		lost          float64
		refused       bool
	}{
		{"all counted", 2, 10, []int{1, 1}, []int{6, 6}, 0, false},
		{"in flight at the end", 2, 10, []int{1, 1}, []int{7, 6}, 0, false},
		{"lost", 2, 10, []int{1, 1}, []int{4, 3}, 0.5, false},
		{"a silent browser", 2, 10, []int{1, 1}, []int{11, 1}, 0, true},
		{"too few to say", 2, 3, []int{1, 1}, []int{4, 1}, 0, false},
		{"too many at once", 3, 10, []int{1, 1}, []int{11, 1}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			metrics, err := increments(
				result{connections: tt.connections, requests: tt.requests}, tt.before, tt.after,
			)
			if refused := err != nil; refused != tt.refused {
				t.Fatalf("got the error %v; want one: %v", err, tt.refused)
			}
			if !tt.refused && metrics[1].Value != tt.lost {
				t.Errorf("lost %v, want %v", metrics[1].Value, tt.lost)
			}
		})
	}
}

// TestAllBrowsersSend tests that wrk sends each cookie, from one of its threads, and that it
// reports when a browser comes back.
func TestAllBrowsersSend(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		if os.Getenv("PASTELINE_REQUIRE_SERVICES") != "" {
			t.Fatal(err)
		}
		t.Skip("wrk is not installed")
	}
	if testing.Short() {
		t.Skip("a run of wrk takes a second")
	}
	t.Chdir("../..")
	var mu sync.Mutex
	seen := map[string]int{}
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Cookie")]++
	})
	site := httptest.NewServer(handler)
	defer site.Close()
	s := &server{url: site.URL}
	from := browsers{file: filepath.Join(t.TempDir(), "cookies")}
	for i := range 9 {
		from.cookies = append(from.cookies, fmt.Sprintf("id=%d", i))
	}
	if err := from.save(); err != nil {
		t.Fatal(err)
	}
	r, err := s.drive(t.Context(), 4, time.Second, from, read)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, cookie := range from.cookies {
		if seen[cookie] == 0 {
			t.Errorf("of %d requests none had the cookie %s", r.requests, cookie)
		}
	}
	if len(seen) != len(from.cookies) {
		t.Errorf("got the cookies %v, want 9", seen)
	}
	if r.back <= 0 || r.back > time.Second {
		t.Errorf("browsers came back after %v, want a part of the second", r.back)
	}
	if !(r.p50 <= r.p99 && r.p99 <= r.p999 && r.p999 <= r.longest) {
		t.Errorf("latencies %v, %v, %v, %v: want them in order", r.p50, r.p99, r.p999, r.longest)
	}
}
