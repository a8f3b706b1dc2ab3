package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tutorial is the tutorial's file, on a free port of this machine alone.
func tutorial(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../development.ini")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("host = 0.0.0.0", "host = 127.0.0.1", "port = 6543",
		"port = 0").Replace(string(text))
}

// A site is a folder with an .ini file and a database, and the process that serves it, if it runs.
type site struct {
	door
	dir     string
	command string
	flags   []string
	prepare func(*exec.Cmd) // may be nil
	cmd     *exec.Cmd
	log     *os.File
	done    chan struct{} // closed when the process has ended
}

// A door is where visitors come in.
type door struct {
	t      *testing.T
	base   string // such as http://127.0.0.1:41234
	client *http.Client
}

// newSite starts a site.
func newSite(t *testing.T, command, ini string, flags ...string) *site {
	t.Helper()
	s := makeSite(t, command, ini, flags...)
	s.start()
	return s
}

// makeSite makes a site that is yet to be started.
func makeSite(t *testing.T, command, ini string, flags ...string) *site {
	t.Helper()
	s := &site{door: door{t: t}, dir: t.TempDir(), command: command, flags: flags}
	if err := os.WriteFile(filepath.Join(s.dir, "site.ini"), []byte(ini), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.done != nil && s.running() {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.logText())
		}
	})
	return s
}

// start starts the process, which adds to the log of the one before.
func (s *site) start() {
	s.t.Helper()
	s.launch()
	s.listens()
}

// launch is start without the wait until the process listens.
func (s *site) launch() {
	s.t.Helper()
	if err := os.Remove(s.addrFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = log
	s.cmd = exec.Command(s.command, append([]string{"site.ini", "--addr-file", "addr"},
		s.flags...)...)
	s.cmd.Dir, s.cmd.Stderr = s.dir, log
	if s.prepare != nil {
		s.prepare(s.cmd)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // the tests look at ProcessState
		close(s.done)
	}()
}

func (s *site) addrFile() string { return filepath.Join(s.dir, "addr") }

// listens waits until the process listens.
func (s *site) listens() {
	s.t.Helper()
	addr, err := waitForFile(s.addrFile())
	if err != nil {
		s.t.Fatalf("the server did not start: %v\n%s", err, s.logText())
	}
	s.base = "http://" + addr
	s.client = newClient()
}

// newClient returns a client with as many connections as it needs.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
}

func (s *site) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does.
func (s *site) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.ended()
}

// stop ends the process as kill -TERM does, and expects that it ends well.
func (s *site) stop() {
	s.t.Helper()
	s.signal(os.Interrupt)
	s.endedWell()
}

func (s *site) endedWell() {
	s.t.Helper()
	s.ended()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("exit code %d, want 0\n%s", code, s.logText())
	}
}

func (s *site) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits for the end of the process.
func (s *site) ended() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(startLimit):
		s.t.Fatalf("the server did not end\n%s", s.logText())
	}
	s.client.CloseIdleConnections()
	s.log.Close()
}

func (s *site) logText() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// waitForLog waits until the log has a text n times.
func (s *site) waitForLog(text string, n int) {
	s.t.Helper()
	deadline := time.Now().Add(startLimit)
	for strings.Count(s.logText(), text) < n {
		if time.Now().After(deadline) {
			s.t.Fatalf("the log never said %q %d times:\n%s", text, n, s.logText())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A reply is a response that has been read whole.
type reply struct {
	major   int // of the protocol's version
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

// visitor is a browser: a cookie, "" for a new one.
type visitor struct {
	door   *door
	cookie string
}

// newVisitor returns a visitor who has been given a cookie.
func (d *door) newVisitor() *visitor {
	d.t.Helper()
	v := &visitor{door: d}
	v.must("GET", "/read")
	if v.cookie == "" {
		d.t.Fatal("no cookie was set")
	}
	return v
}

// do sends a request with the visitor's cookie, and keeps a new cookie that comes back.
func (v *visitor) do(ctx context.Context, method, path string, header ...string) (reply, error) {
	return v.send(ctx, method, path, nil, header...)
}

func (v *visitor) send(ctx context.Context, method, path string, body io.Reader,
	header ...string,
) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, v.door.base+path, body)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	if v.cookie != "" {
		request.Header.Set("Cookie", v.cookie)
	}
	response, err := v.door.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return reply{}, err
	}
	cookies := response.Cookies()
	for _, c := range cookies {
		if c.Name == "repoze.browserid" {
			v.cookie = c.Name + "=" + c.Value
		}
	}
	return reply{
		response.ProtoMajor, response.StatusCode, response.Header, cookies,
		text.String(),
	}, nil
}

// must does a request whose answer has to be 200, and returns the text.
func (v *visitor) must(method, path string) string {
	v.door.t.Helper()
	got, err := v.do(v.door.t.Context(), method, path)
	if err != nil {
		v.door.t.Fatal(err)
	}
	if got.status != http.StatusOK {
		v.door.t.Fatalf("%s %s: got %d %q, want 200", method, path, got.status, got.body)
	}
	return got.body
}

// number is must for a path that answers a number.
func (v *visitor) number(method, path string) int {
	v.door.t.Helper()
	n, err := strconv.Atoi(v.must(method, path))
	if err != nil {
		v.door.t.Fatalf("%s %s: %v", method, path, err)
	}
	return n
}
