package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// registerMark adds egg:test#mark, a filter that marks each response with the field Mark, so that
// one sees which pipeline has answered. /goroutines answers how many there are. With fail = error
// or panic the filter can't be made.
func registerMark(r *pipeline.Registry) {
	type settings struct {
		Text string `required:"true"`
		Fail string
	}
	pipeline.Filter(r, "egg:test#mark",
		func(_ *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
			switch s.Fail {
			case "error":
				return nil, errors.New(s.Text)
			case "panic":
				panic(s.Text)
			}
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Mark", s.Text)
					if r.URL.Path == "/goroutines" {
						fmt.Fprint(w, runtime.NumGoroutine())
						return
					}
					next.ServeHTTP(w, r)
				})
			}, nil
		})
}

// marked is the tutorial's file with the filter mark outside of all others.
func marked(t *testing.T, text string) string {
	t.Helper()
	return strings.Replace(tutorial(t), "pipeline =\n", "pipeline =\n       mark\n", 1) +
		"\n[filter:mark]\nuse = egg:test#mark\ntext = " + text + "\n"
}

// rewrite puts another file into the place of the site's, at once.
func (s *site) rewrite(ini string) {
	s.t.Helper()
	name := filepath.Join(s.dir, "site.ini")
	if err := errors.Join(os.WriteFile(name+".new", []byte(ini), 0o644),
		os.Rename(name+".new", name)); err != nil {
		s.t.Fatal(err)
	}
}

// mark returns which pipeline answers.
func (s *site) mark() string {
	s.t.Helper()
	v := &visitor{door: &s.door}
	got, err := v.do(s.t.Context(), "GET", "/hello")
	if err != nil || got.status != http.StatusOK {
		s.t.Fatalf("/hello: got %d, %v", got.status, err)
	}
	return got.header.Get("Mark")
}

// resources returns how many files and goroutines the process has; no files where the system does
// not tell.
func (s *site) resources() (files, goroutines int) {
	s.t.Helper()
	s.client.CloseIdleConnections()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil && runtime.GOOS == "linux" {
		s.t.Fatal(err)
	}
	return len(list), (&visitor{door: &s.door}).number("GET", "/goroutines")
}

// databases returns which of the process's files are the site's database; none where the system
// does not tell.
func (s *site) databases() (numbers []string) {
	s.t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && filepath.Base(target) == "data.db" {
			numbers = append(numbers, filepath.Base(link))
		}
	}
	return numbers
}

// Reloads under load, and some that fail: no request fails, nothing is lost, and nothing is left
// over.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	const clients, streams = 9, 3
	reloads, faulty := sized(15, 50), sized(6, 20)
	s := newSite(t, "serve-test", marked(t, "m0"), "-v", "--reload-grace", "300ms")
	s.rewrite(marked(t, "m1"))
	s.signal(syscall.SIGHUP)
	s.waitForLog("the old pipeline is closed", 1)
	files, goroutines := s.resources()
	databases := s.databases()
	if len(databases) != 1 && runtime.GOOS == "linux" {
		t.Fatalf("the database is open %d times, want once", len(databases))
	}

	var counts struct{ hello, incr, events, streams atomic.Int64 }
	var load, enough sync.WaitGroup
	stop := make(chan struct{})
	until := func(request func() error) {
		first := true
		for {
			if err := request(); err != nil {
				t.Error(err)
			}
			if first {
				enough.Done()
				first = false
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}
	incremented := make([]int, clients)
	visitors := make([]*visitor, clients)
	for i := range clients {
		visitors[i] = s.newVisitor()
		enough.Add(1)
		load.Go(func() {
			v := visitors[i]
			until(func() error {
				if _, err := v.answered("GET", "/hello"); err != nil {
					return err
				}
				counts.hello.Add(1)
				body, err := v.answered("POST", "/incr")
				if err != nil {
					return err
				}
				counts.incr.Add(1)
				incremented[i]++
				if body != strconv.Itoa(incremented[i]) {
					return fmt.Errorf("client %d: got %s after %d increments", i, body,
						incremented[i])
				}
				if err := v.events(1); err != nil {
					return err
				}
				counts.events.Add(1)
				return nil
			})
		})
	}
	for range streams { // to the end, which the grace brings
		v := s.newVisitor()
		enough.Add(1)
		load.Go(func() {
			until(func() error {
				counts.streams.Add(1)
				return v.events(0)
			})
		})
	}
	// A stream ends with its pipeline, so what its client waits for comes when the first of the
	// following reloads is done.
	faults := 0
	for n := 2; n <= reloads+1; n++ {
		mark := fmt.Sprintf("m%d", n)
		s.rewrite(marked(t, mark))
		s.signal(syscall.SIGHUP)
		s.waitForLog("msg=reloaded", n)
		if got := s.mark(); got != mark {
			t.Fatalf("reload %d: %s answers, want %s", n, got, mark)
		}
		if got := s.databases(); !slices.Equal(got, databases) {
			t.Errorf("reload %d: the database is open as %v, want %v as before", n, got, databases)
		}
		if faults == faulty || faults*reloads >= n*faulty {
			continue
		}
		ini, fault := broken(t, faults)
		faults++
		s.rewrite(ini)
		s.signal(syscall.SIGHUP)
		s.waitForLog(fault, 1)
		if got := s.mark(); got != mark {
			t.Fatalf("after %s: %s answers, want %s as before", fault, got, mark)
		}
	}
	enough.Wait()
	close(stop)
	// One more ends the streams that are left.
	s.rewrite(marked(t, "last"))
	s.signal(syscall.SIGHUP)
	load.Wait()
	for i, v := range visitors {
		if got := v.number("GET", "/read"); got != incremented[i] {
			t.Errorf("client %d: the counter is %d, and %d increments were acknowledged", i, got,
				incremented[i])
		}
	}
	s.waitForLog("the old pipeline is closed", reloads+2)
	if faults != faulty {
		t.Errorf("%d loads failed, want %d", faults, faulty)
	}
	log := s.logText()
	for _, bad := range []string{
		"in use", "a handler panicked", "level=ERROR msg=\"request failed",
		"can't close",
	} {
		if strings.Contains(log, bad) {
			t.Errorf("the log says %q", bad)
		}
	}
	deadline := time.Now().Add(startLimit)
	for {
		f, g := s.resources()
		if f <= files && g <= goroutines {
			t.Logf("%d hello, %d incr, %d events, %d streams; files %d -> %d, goroutines %d -> %d",
				counts.hello.Load(), counts.incr.Load(), counts.events.Load(), counts.streams.Load(), files, f, goroutines, g)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files and %d goroutines after the first reload, %d and %d at the end",
				files, goroutines, f, g)
		}
		<-time.After(20 * time.Millisecond)
	}
	s.stop()
}

// broken returns a file with a fault, and what the log says about it.
func broken(t *testing.T, n int) (ini, fault string) {
	t.Helper()
	name := fmt.Sprintf("broken%d", n)
	ini = marked(t, name)
	switch n % 6 {
	case 0:
		return ini + strings.Repeat("[filter:"+name+"]\n", 2), name
	case 1:
		return ini + name + " = x\n", name
	case 2:
		return strings.Replace(ini, "egg:test#mark", "config:"+name+".ini", 1), name
	case 3:
		return ini + "fail = error\n", "[filter:mark]: " + name
	case 4:
		return ini + "fail = panic\n", "a factory panicked: " + name
	}
	return strings.Replace(ini, "port = 0", "port = "+name, 1), name
}

// answered sends a request that has to be answered with 200.
func (v *visitor) answered(method, path string) (string, error) {
	got, err := v.do(v.door.t.Context(), method, path)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("got %d %q", got.status, got.body)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	return got.body, nil
}

// events reads events, so many of them, or all if it is 0: then the stream has to end properly.
func (v *visitor) events(limit int) error {
	request, err := http.NewRequestWithContext(v.door.t.Context(), http.MethodGet,
		v.door.base+"/events", http.NoBody)
	if err != nil {
		return err
	}
	response, err := v.door.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/events: got %s", response.Status)
	}
	n := 0
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadString('\n')
		if strings.HasPrefix(line, "data: ") {
			n++
		}
		switch {
		case err == io.EOF && n > 0, limit > 0 && n == limit:
			return nil
		case err != nil:
			return fmt.Errorf("/events: %w after %d events", err, n)
		}
	}
}

// A request that outlives the grace is told so, and leaves no trace.
func TestReloadGraceIsOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", strings.Replace(marked(t, "one"), "egg:repoze.tm2#tm",
		"egg:repoze.tm2#tm\n       egg:test#trouble", 1), "--reload-grace", "10ms")
	v := s.newVisitor()
	called := strings.Count(s.logText(), "msg=called")
	answered := make(chan reply, 1)
	go func() {
		got, err := v.do(t.Context(), "POST", "/incr", "Trouble", "stall")
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	s.waitForLog("msg=called", called+1)
	s.signal(syscall.SIGHUP)
	if got := <-answered; got.status != http.StatusServiceUnavailable {
		t.Errorf("got %d %q, want 503", got.status, got.body)
	}
	if n := v.number("POST", "/incr"); n != 1 {
		t.Errorf("afterwards: got %d, want 1", n)
	}
	s.stop()
}

// With --reload a change of the file is enough, and nobody has to send a signal.
func TestReloadOfAChangedFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "serve-test", marked(t, "one"), "--reload", "--reload-interval", "20ms")
	s.rewrite(marked(t, "two"))
	s.waitForLog("msg=reloaded", 1)
	if got := s.mark(); got != "two" {
		t.Errorf("got %q, want two", got)
	}
	s.stop()
}
