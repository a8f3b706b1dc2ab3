//go:build linux

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// A database file is deleted while the server runs. Writes are refused from then on, also after
// SIGHUP, and beside a second server that has made a new file; reads go on; and what the log says
// to do saves all that was acknowledged.
func TestDatabaseIsDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve", tutorial(t))
	v := s.newVisitor()
	v.must("POST", "/incr")
	data := filepath.Join(s.dir, "data.db")
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	n := 1
	for deadline := time.Now().Add(time.Minute); ; n++ {
		got, err := v.do(t.Context(), "POST", "/incr")
		if err != nil {
			t.Fatal(err)
		}
		if got.status == http.StatusServiceUnavailable {
			break
		}
		if got.status != http.StatusOK || time.Now().After(deadline) {
			t.Fatalf("got %d, want 200 and then 503", got.status)
		}
	}
	if got := v.number("GET", "/read"); got != n {
		t.Errorf("read %d, want %d", got, n)
	}
	s.waitForLog("writes are refused", 1)
	s.signal(syscall.SIGHUP)
	s.waitForLog("not reloaded, the old pipeline goes on", 1)

	second := makeSite(t, s.command, tutorial(t))
	second.dir = s.dir
	second.flags = []string{"--addr-file", "addr2"}
	second.startBeside("addr2")
	other := second.newVisitor()
	if got := other.number("POST", "/incr"); got != 1 {
		t.Errorf("the second server: got %d", got)
	}
	if got, err := v.do(t.Context(), "POST", "/incr"); err != nil ||
		got.status != http.StatusServiceUnavailable {
		t.Errorf("beside a second server: got %d, %v, want 503", got.status, err)
	}
	second.kill()

	command := regexp.MustCompile(`cp /proc/\d+/fd/\d+ COPY`).FindString(s.logText())
	save := exec.Command("sh", "-c", command)
	save.Dir = s.dir
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", command, err, out)
	}
	s.kill()
	if err := os.Rename(filepath.Join(s.dir, "COPY"), data); err != nil {
		t.Fatal(err)
	}
	s.start()
	v.door = &s.door
	if got := v.number("POST", "/incr"); got != n+1 {
		t.Errorf("after the restart: got %d, want %d", got, n+1)
	}
	s.stop()
}

// startBeside starts a second process in the folder of a site.
func (s *site) startBeside(addr string) {
	s.t.Helper()
	s.cmd = exec.Command(s.command, append([]string{"site.ini"}, s.flags...)...)
	s.cmd.Dir = s.dir
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // the tests look at ProcessState
		close(s.done)
	}()
	host, err := waitForFile(filepath.Join(s.dir, addr))
	if err != nil {
		s.t.Fatal(err)
	}
	s.base, s.client = "http://"+host, newClient()
}
