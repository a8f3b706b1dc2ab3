package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A manager is what systemd is to a service: the socket that it is notified at.
type manager struct {
	t      *testing.T
	socket string
	conn   *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, socket: fmt.Sprintf("@pasteline-%d-%s", os.Getpid(), t.Name())}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m.conn = conn
	return m
}

// service is a site that the manager starts, with these variables beside.
func (m *manager) service(ini string, variables ...string) *site {
	m.t.Helper()
	s := makeSite(m.t, "serve-test", ini)
	s.prepare = func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(),
			append(variables, "NOTIFY_SOCKET="+m.socket)...)
	}
	return s
}

// next returns the next notification, which is no sign of life.
func (m *manager) next() string {
	m.t.Helper()
	for {
		if message := m.any(); message != "WATCHDOG=1\n" {
			return message
		}
	}
}

func (m *manager) any() string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(startLimit))
	message := make([]byte, 4096)
	n, err := m.conn.Read(message)
	if err != nil {
		m.t.Fatalf("no notification: %v", err)
	}
	return string(message[:n])
}

func (m *manager) wants(pattern string) {
	m.t.Helper()
	if got := m.next(); !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got) {
		m.t.Errorf("notified %q, want %s", got, pattern)
	}
}

// systemd learns of each state that a unit of Type=notify-reload can have, and of why a reload
// failed.
func TestSystemdIsNotified(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	s := m.service(marked(t, "one"), "WATCHDOG_USEC=10000000", "WATCHDOG_PID=")
	s.launch()
	const serving = `STATUS=serving site\.ini on http://127\.0\.0\.1:\d+`
	m.wants("READY=1\n" + serving + "\n")
	s.listens() // and so it was ready when it said so
	if got := s.mark(); got != "one" {
		t.Errorf("%s answers, want one", got)
	}

	reloading := func() {
		t.Helper()
		var before unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGHUP)
		var begun int64
		message := m.next()
		if _, err := fmt.Sscanf(message,
			"RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=loading site.ini\n", &begun); err != nil {
			t.Errorf("notified %q, want RELOADING=1 with the time: %v", message, err)
		}
		if begun < before.Nano()/1000 {
			t.Errorf("the reload began %d µs before its signal", before.Nano()/1000-begun)
		}
	}
	s.rewrite(marked(t, "two"))
	reloading()
	m.wants("READY=1\n" + serving + "; reloaded\n")
	if got := s.mark(); got != "two" {
		t.Errorf("%s answers, want two", got)
	}

	s.rewrite(marked(t, "three") + "wrong = 1\nmore = 1\n")
	reloading()
	m.wants("READY=1\n" + serving + `; not reloaded, the old pipeline goes on: site\.ini:\d+: ` +
		`\[filter:mark\] wrong: .* \(and 1 more in the log\)` + "\n")
	if got := s.mark(); got != "two" {
		t.Errorf("%s answers, want two as before", got)
	}

	s.rewrite(marked(t, "no") + "fail = panic\n")
	reloading()
	m.wants("READY=1\n" + serving +
		`; not reloaded, the old pipeline goes on: .*a factory panicked: no` + "\n")

	s.rewrite(marked(t, "three"))
	reloading()
	m.wants("READY=1\n" + serving + "; reloaded\n")
	s.signal(syscall.SIGTERM)
	m.wants("STOPPING=1\nSTATUS=shutting down: running requests may finish\n")
	s.endedWell()
}

// A watchdog gets signs of life while the process runs, and none when it is stuck.
func TestSystemdWatchdog(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	s := m.service(marked(t, "one"), "WATCHDOG_USEC=200000")
	s.launch()
	m.wants("READY=1\n.*\n")
	for range 3 {
		if got := m.any(); got != "WATCHDOG=1\n" {
			t.Errorf("notified %q, want a sign of life", got)
		}
	}
	s.listens()
	s.signal(syscall.SIGSTOP)
	m.silent()
	s.signal(syscall.SIGCONT)
	if got := m.any(); got != "WATCHDOG=1\n" {
		t.Errorf("notified %q, want a sign of life", got)
	}
	s.signal(syscall.SIGTERM)
	m.wants("STOPPING=1\n.*\n")
	s.endedWell()
}

// silent waits until no notification has come for as long as the watchdog would wait.
func (m *manager) silent() {
	m.t.Helper()
	for range 10 {
		m.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		switch _, err := m.conn.Read(make([]byte, 4096)); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			m.t.Fatal(err)
		}
	}
	m.t.Error("a process that is stopped gives signs of life")
}

// What can't be sent is a line of the log, once.
func TestSystemdIsGone(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.conn.Close()
	s := m.service(marked(t, "one"), "WATCHDOG_USEC=50000")
	s.start()
	s.rewrite(marked(t, "two"))
	s.signal(syscall.SIGHUP)
	s.waitForLog("msg=reloaded", 1)
	if got := s.mark(); got != "two" {
		t.Errorf("%s answers, want two", got)
	}
	s.stop()
	if n := strings.Count(s.logText(), "can't notify systemd"); n != 1 {
		t.Errorf("the log says %d times that systemd can't be notified, want once", n)
	}

	s = makeSite(t, "serve-test", marked(t, "one"))
	s.prepare = func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=relative") }
	s.start()
	s.stop()
	if log := s.logText(); !strings.Contains(log, "NOTIFY_SOCKET=relative: want an absolute path") {
		t.Errorf("no warning in\n%s", log)
	}
}

// With the socket unit's socket, a restart refuses no connection: those that come in between wait.
func TestSystemdSocketOutlivesARestart(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	passed, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	m := newManager(t)
	ini := strings.NewReplacer("host = 127.0.0.1\n", "listen = systemd\n", "port = 0\n",
		"").Replace(marked(t, "one"))
	s := m.service(ini)
	notified := s.prepare
	s.prepare = func(cmd *exec.Cmd) {
		notified(cmd)
		// LISTEN_PID is that of the process that sh becomes.
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh"},
			cmd.Args...)
		if cmd.Path, err = exec.LookPath("sh"); err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{passed}
	}
	s.launch()
	m.wants("READY=1\n.*\n")
	s.listens()

	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := client.Get("http://" + l.Addr().String() + "/hello")
				if err != nil {
					t.Errorf("a request during the restart: %v", err)
					return
				}
				if body, err := io.ReadAll(response.Body); err != nil ||
					response.StatusCode != http.StatusOK {
					t.Errorf("a request during the restart: %s, %q, %v", response.Status, body, err)
				}
				response.Body.Close()
			}
		})
	}
	for range 3 {
		s.signal(syscall.SIGTERM)
		m.wants("STOPPING=1\n.*\n")
		s.endedWell()
		s.launch()
		m.wants("READY=1\n.*\n")
		s.listens()
	}
	close(stop)
	load.Wait()
	s.stop()
}
