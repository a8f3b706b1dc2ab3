package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// troubled is the tutorial's file with the filter trouble on the inside of tm.
func troubled(t *testing.T) string {
	t.Helper()
	return strings.Replace(tutorial(t), "egg:repoze.tm2#tm",
		"egg:repoze.tm2#tm\n       egg:test#trouble", 1)
}

// A visitor is counted, also after a restart; a cookie that was altered or forged is a new
// visitor's.
func TestVisitorsAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve", tutorial(t))
	ada, bob := s.newVisitor(), s.newVisitor()
	for want := 1; want <= 3; want++ {
		if got := ada.number("POST", "/incr"); got != want {
			t.Errorf("ada's request %d: got %d", want, got)
		}
	}
	if got := bob.number("POST", "/incr"); got != 1 {
		t.Errorf("bob: got %d, want 1", got)
	}

	s.stop()
	s.start()
	if got := ada.number("GET", "/read"); got != 3 {
		t.Errorf("ada after a restart: got %d, want 3", got)
	}
	if got := ada.number("POST", "/incr"); got != 4 {
		t.Errorf("ada after a restart: got %d, want 4", got)
	}

	name, value, _ := strings.Cut(ada.cookie, "=")
	id, signature, ok := strings.Cut(value, ".")
	if !ok {
		t.Fatalf("got a cookie %q, want an id and a signature", ada.cookie)
	}
	for _, tt := range []struct{ name, value string }{
		{"an altered id", flip(id) + "." + signature},
		{"an altered signature", id + "." + flip(signature)},
		{"no signature", id},
		{"bob's signature", id + "." + bob.cookie[strings.LastIndex(bob.cookie, ".")+1:]},
		{"forged", "admin.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
	} {
		v := &visitor{door: &s.door, cookie: name + "=" + tt.value}
		if got := v.number("POST", "/incr"); got != 1 {
			t.Errorf("%s: got %d, want 1 as for a new visitor", tt.name, got)
		}
		if v.cookie == name+"="+tt.value {
			t.Errorf("%s: no new cookie was set", tt.name)
		}
	}
	if got := ada.number("GET", "/read"); got != 4 {
		t.Errorf("ada at the end: got %d, want 4", got)
	}
}

// flip changes the first character.
func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// No update is lost when 64 clients change one thing at once: what was answered with 200 is what is
// counted.
func TestNoUpdateIsLost(t *testing.T) { //nolint:tparallel // one crowd after the other: each is load enough
	t.Parallel()
	noUpdateIsLost(t, &newSite(t, "serve", tutorial(t)).door, 64)
}

func noUpdateIsLost(t *testing.T, d *door, clients int) {
	t.Helper()
	for _, tt := range []struct{ name, incr, read string }{
		{"one session", "/incr", "/read"},
		{"one counter for all", "/shared/incr", "/shared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := d.newVisitor()
			good, busy := hammer(t, v, tt.incr, clients, sized(10, 50))
			if got := v.number("GET", tt.read); got != good {
				t.Errorf("the counter is %d after %d requests were acknowledged", got, good)
			}
			if good*100 < (good+busy)*99 {
				t.Errorf("only %d of %d requests succeeded, want 99 %%", good, good+busy)
			}
			t.Logf("%d of %d requests succeeded (%.2f %%)", good, good+busy,
				100*float64(good)/float64(good+busy))
		})
	}
}

// hammer sends requests from several clients with v's cookie, and counts the answers: 200, and an
// honest 503.
func hammer(t *testing.T, v *visitor, path string, clients, each int) (good, busy int) {
	t.Helper()
	var goods, busies atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := *v
			for range each {
				got, err := client.do(t.Context(), "POST", path)
				switch {
				case err != nil:
					t.Error(err)
				case got.status == http.StatusOK:
					goods.Add(1)
				case got.status == http.StatusServiceUnavailable &&
					got.header.Get("Retry-After") != "":
					busies.Add(1)
				default:
					t.Errorf("got %d %q, want 200, or 503 with Retry-After", got.status, got.body)
				}
			}
		})
	}
	all.Wait()
	return int(goods.Load()), int(busies.Load())
}

// kill -9 under load loses nothing that was acknowledged, and the file opens every time.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const clients = 64
	s := newSite(t, "serve", tutorial(t))
	ada := s.newVisitor()
	counters := []*watched{
		{name: "session", incr: "/incr", read: "/read"},
		{name: "shared", incr: "/shared/incr", read: "/shared"},
	}
	for range sized(5, 20) {
		var enough, loaded sync.WaitGroup
		for i := range clients {
			c, v := counters[i%len(counters)], *ada
			enough.Add(1)
			loaded.Go(func() {
				// So many each before the kill, and on until it comes.
				c.load(t, &v, 1+rand.IntN(10), enough.Done)
			})
		}
		enough.Wait()
		s.kill()
		loaded.Wait()
		s.start()
		for _, c := range counters {
			c.check(t, ada)
		}
	}
	for _, c := range counters {
		c.log(t)
	}
	s.stop()
}

// watched is a counter, and what is known about it from outside.
type watched struct {
	name, incr, read string
	sent, answers    atomic.Int64 // requests, and those of them that were acknowledged
	refused          atomic.Int64 // those that were answered with 503: nothing was done
	newest           atomic.Int64 // the highest value that was acknowledged
	given            sync.Map     // all of them
}

// load adds to the counter until the server is gone, and says when it has done so often enough.
func (c *watched) load(t *testing.T, v *visitor, often int, enough func()) {
	t.Helper()
	defer func() {
		if often > 0 {
			enough()
		}
	}()
	for {
		got, err := c.add(t, v)
		if err != nil {
			return
		}
		switch got.status {
		case http.StatusServiceUnavailable:
			continue
		case http.StatusOK:
		default:
			t.Errorf("%s: got %d %q", c.incr, got.status, got.body)
			return
		}
		if often--; often == 0 {
			enough()
		}
	}
}

// add adds to the counter once, and remembers what was acknowledged: no value twice.
func (c *watched) add(t *testing.T, v *visitor) (reply, error) {
	t.Helper()
	c.sent.Add(1)
	got, err := v.do(t.Context(), "POST", c.incr)
	if err == nil && got.status == http.StatusServiceUnavailable {
		c.refused.Add(1)
	}
	if err != nil || got.status != http.StatusOK {
		return got, err
	}
	n, err := strconv.ParseInt(got.body, 10, 64)
	if err != nil {
		t.Errorf("%s: %v", c.incr, err)
		return got, nil
	}
	if _, again := c.given.LoadOrStore(n, nil); again {
		t.Errorf("%s: %d was given out twice", c.incr, n)
	}
	c.answers.Add(1)
	for {
		old := c.newest.Load()
		if old >= n || c.newest.CompareAndSwap(old, n) {
			return got, nil
		}
	}
}

// check compares the counter with what was acknowledged before: nothing of that may be missing,
// nothing may have been counted twice, and nothing that was refused.
func (c *watched) check(t *testing.T, v *visitor) {
	t.Helper()
	low := max(c.newest.Load(), c.answers.Load())
	got, err := v.do(t.Context(), "GET", c.read)
	if err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: got %d, %v, want 200", c.read, got.status, err)
	}
	n, err := strconv.ParseInt(got.body, 10, 64)
	if high := c.sent.Load() - c.refused.Load(); err != nil || n < low || n > high {
		t.Fatalf("the %s counter is %q (%v), want %d to %d", c.name, got.body, err, low, high)
	}
}

func (c *watched) log(t *testing.T) {
	t.Helper()
	t.Logf("%s: %d requests were sent, %d acknowledged, %d refused", c.name, c.sent.Load(),
		c.answers.Load(), c.refused.Load())
}

// What fails leaves no trace: a status, a panic, a client that leaves before the commit.
func TestFailuresLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", troubled(t))
	v := s.newVisitor()
	v.must("POST", "/incr")

	got, err := v.do(t.Context(), "POST", "/fail")
	if err != nil || got.status != http.StatusInternalServerError {
		t.Errorf("/fail: got %d, %v, want 500", got.status, err)
	}
	if n := v.number("GET", "/read"); n != 1 {
		t.Errorf("after /fail: got %d, want 1", n)
	}

	got, err = v.do(t.Context(), "POST", "/incr", "Trouble", "panic")
	if err == nil && got.status < 500 {
		t.Errorf("panic: got %d %q, want 500 or a connection that ends", got.status, got.body)
	}
	if n := v.number("GET", "/read"); n != 1 {
		t.Errorf("after a panic: got %d, want 1", n)
	}
	if log := s.logText(); !strings.Contains(log, "a handler panicked") ||
		!strings.Contains(log, "trouble_test.go") {
		t.Errorf("the log has no panic with its stack:\n%s", log)
	}

	// A client that leaves while the handler works.
	called := strings.Count(s.logText(), "msg=called")
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := v.do(ctx, "POST", "/incr", "Trouble", "stall")
		left <- err
	}()
	s.waitForLog("msg=called", called+1)
	leave()
	if err := <-left; err == nil {
		t.Error("the client that left got an answer")
	}
	s.waitForLog("status=499", 1)
	if n := v.number("GET", "/read"); n != 1 {
		t.Errorf("after a client left: got %d, want 1", n)
	}
	if n := v.number("POST", "/incr"); n != 2 {
		t.Errorf("at the end: got %d, want 2", n)
	}
	s.stop()
}

// When the commit fails the client never sees a success, however the handler answers, and whatever
// is spoken.
func TestFailedCommitIsNeverASuccess(t *testing.T) { //nolint:tparallel // they share a server, which ends with the test
	t.Parallel()
	s := newSite(t, "serve-test", troubled(t)+"h2c = true\n")
	v := s.newVisitor()
	for major, client := range map[int]*http.Client{1: s.client, 2: newHTTP2Client()} {
		s.client = client
		for _, tt := range []struct {
			method, path, trouble string
			want                  int
		}{
			{"GET", "/", "commit", 500},
			{"HEAD", "/", "commit", 500},
			{"GET", "/hello", "commit", 500},
			{"POST", "/incr", "commit", 500},
			{"POST", "/incr", "conflict", 503},
			{"POST", "/shared/incr", "commit", 500},
			{"POST", "/body", "commit", 500},
			{"GET", "/events", "commit", 500},
			{"GET", "/events", "conflict", 503},
		} {
			t.Run(fmt.Sprintf("HTTP%d/%s/%s/%s", major, tt.method, tt.path, tt.trouble),
				func(t *testing.T) {
					var body io.Reader
					if tt.method == http.MethodPost {
						// of unknown length
						body = struct{ io.Reader }{strings.NewReader("some text")}
					}
					got, err := v.send(t.Context(), tt.method, tt.path, body, "Trouble", tt.trouble)
					if err != nil || got.status != tt.want || got.major != major {
						t.Errorf("got HTTP/%d, %d, %v, want HTTP/%d, %d", got.major,
							got.status, err,
							major, tt.want)
					}
					if after := got.header.Get("Retry-After"); (after != "") != (tt.want == 503) {
						t.Errorf("got Retry-After %q", after)
					}
					if strings.Contains(got.body, "disk") {
						t.Errorf("the answer tells of the inside: %q", got.body)
					}
				})
		}
		if n := v.number("GET", "/read") + v.number("GET", "/shared"); n != 0 {
			t.Errorf("got %d, want 0: nothing was committed", n)
		}
	}
	s.stop()
}

// newHTTP2Client returns a client that speaks HTTP/2 alone, without TLS.
func newHTTP2Client() *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: transport}
}

// An attempt that is run again has the whole body, and nothing of the failed ones is in the answer.
func TestBodyIsReplayed(t *testing.T) { //nolint:tparallel // they share a server, which ends with the test
	t.Parallel()
	s := newSite(t, "serve", tutorial(t))
	for _, size := range []int{0, 1 << 10, 10 << 20} {
		body := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(body) // never fails
		sum := sha256.Sum256(body)
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("size=%d/chunked=%t", size, chunked), func(t *testing.T) {
				var reader io.Reader = bytes.NewReader(body)
				if chunked {
					reader = struct{ io.Reader }{reader} // of unknown length
				}
				got, err := s.newVisitor().send(t.Context(), "POST", "/body?conflict=2", reader)
				if err != nil {
					t.Fatal(err)
				}
				if want := hex.EncodeToString(sum[:]) + " 3"; got.status != http.StatusOK ||
					got.body != want {
					t.Errorf("got %d %q, want 200 %q", got.status, got.body, want)
				}
				if values, ok := got.header["Failed-Attempt"]; ok {
					t.Errorf("a failed attempt's header is in the answer: %q", values)
				}
				if len(got.cookies) != 0 {
					t.Errorf("cookies are in the answer: %v", got.cookies)
				}
			})
		}
	}
	t.Run("more conflicts than tries", func(t *testing.T) {
		got, err := s.newVisitor().send(t.Context(), "POST", "/body?conflict=3",
			strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if got.status != http.StatusServiceUnavailable || len(got.cookies) != 0 ||
			got.header.Get("Failed-Attempt") != "" {
			t.Errorf("got %d, cookies %v, header %v, want a clean 503", got.status,
				got.cookies, got.header)
		}
	})
}

// Events arrive while the handler runs, and the transaction has been decided by then.
func TestEventsStream(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", troubled(t))
	v := s.newVisitor()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK ||
		got != "text/event-stream" {
		t.Fatalf("got %d %q, want 200 text/event-stream", response.StatusCode, got)
	}
	lines := bufio.NewScanner(response.Body)
	event := func() string {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}
	if got, want := event(), `{"event": 1, "shared": 0}`; got != want {
		t.Errorf("the first event: got %s, want %s", got, want)
	}
	log := s.logText()
	if !strings.Contains(log, "msg=decided section=egg:test#trouble path=/events committed=true") {
		t.Errorf("the transaction was not decided when the first event came:\n%s", log)
	}
	if strings.Contains(log, "msg=returned section=egg:test#trouble path=/events") {
		t.Errorf("the handler had returned when the first event came:\n%s", log)
	}
	// The stream holds no transaction open, and sees what others commit.
	v.must("POST", "/shared/incr")
	for !strings.HasSuffix(event(), `"shared": 1}`) {
	}
	leave()
	s.waitForLog("msg=returned section=egg:test#trouble path=/events", 1)
	s.stop()
}

// SIGTERM stops accepting, lets a running request finish, ends streams, and ends with exit code 0.
func TestShutdownIsGraceful(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", troubled(t))
	v := s.newVisitor()
	stream, err := s.client.Get(s.base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()

	called := strings.Count(s.logText(), "msg=called")
	answered := make(chan reply, 1)
	go func() {
		got, err := v.do(t.Context(), "POST", "/incr?pause=500")
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	s.waitForLog("msg=called", called+1)
	s.signal(syscall.SIGTERM)
	if got := <-answered; got.status != http.StatusOK || got.body != "1" {
		t.Errorf("the running request: got %d %q, want 200 \"1\"", got.status, got.body)
	}
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream: got %v, want a proper end", err)
	}
	s.ended()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, s.logText())
	}
	if _, err := os.Stat(s.dir + "/addr"); !os.IsNotExist(err) {
		t.Errorf("the address file is still there (%v)", err)
	}
	if _, err := v.do(t.Context(), "GET", "/hello"); err == nil {
		t.Error("somebody still answers")
	}
	s.start()
	if n := v.number("GET", "/read"); n != 1 {
		t.Errorf("after the restart: got %d, want 1", n)
	}
	s.stop()
}

// A second signal ends at once, although a request would go on for ever.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", troubled(t)+"shutdown_timeout = 1h\n")
	v := s.newVisitor()
	n := v.number("POST", "/incr")

	called := strings.Count(s.logText(), "msg=called")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	sent := make(chan struct{})
	ctx = httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	go func() {
		if _, err := v.do(ctx, "POST", "/incr", "Trouble", "stall"); err == nil {
			t.Error("the stalled request was answered")
		}
	}()
	<-sent
	s.waitForLog("msg=called", called+1)
	s.signal(os.Interrupt)
	s.waitForLog("shutting down", 1)
	s.signal(os.Interrupt)
	s.ended()
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("got %v, want an end by the signal", s.cmd.ProcessState)
	}
	s.start()
	if got := v.number("GET", "/read"); got != n {
		t.Errorf("after the restart: got %d, want %d", got, n)
	}
	s.stop()
}
