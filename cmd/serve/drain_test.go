package main

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withHealth is the tutorial's file with the app health, and a time between the signal to stop and
// the end of accepting.
func withHealth(t *testing.T, delay string) string {
	t.Helper()
	return strings.NewReplacer("[pipeline:main]", "[composite:main]\nuse = egg:Paste#urlmap\n"+
		"/ = site\n/health = egg:pasteline#health\n\n[pipeline:site]",
		"[server:main]", "[server:main]\ndrain_delay = "+delay).Replace(tutorial(t))
}

// get returns the status of an answer on a new connection, or 0 without one.
func (s *site) get(path string) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(s.base + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// After the signal to stop, the server is not ready and goes on answering, until the delay is over
// or a second signal comes.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		delay  string
		second bool
	}{
		"the delay passes": {"500ms", false},
		"a second signal":  {"1h", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "serve", withHealth(t, tt.delay))
			if ready, live := s.get("/health/ready"), s.get("/health/live"); ready != 200 ||
				live != 200 {
				t.Fatalf("ready %d, live %d, want 200", ready, live)
			}
			s.signal(syscall.SIGTERM)
			s.waitForLog("not ready any more", 1)
			if tt.second { // the other may have stopped in the meantime
				for path, want := range map[string]int{
					"/health/ready": 503, "/health/live": 200, "/read": 200,
				} {
					if got := s.get(path); got != want {
						t.Errorf("%s: got %d, want %d", path, got, want)
					}
				}
				s.signal(syscall.SIGTERM)
			}
			s.endedWell()
			s.waitForLog("shutting down", 1)
			addr := strings.TrimPrefix(s.base, "http://")
			if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				conn.Close()
				t.Error("the process has ended, and its port is open")
			}
		})
	}
}

// A server without a delay drains at once.
func TestNoDrainDelay(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve", withHealth(t, "0"))
	s.stop()
	if strings.Contains(s.logText(), "not ready any more") {
		t.Errorf("there was a delay:\n%s", s.logText())
	}
}
