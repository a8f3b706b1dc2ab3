//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A log that Pyramid's file has rotated: by a server that logs past maxBytes again and again, is
// told to open its files anew in the middle, killed and started again. Each request has its line,
// once, in files of the right size.
func TestLogRotation(t *testing.T) {
	t.Parallel()
	const limit, backups, clients, each = 4000, 500, 4, 100
	s := newSite(t, "serve", fmt.Sprintf(`
[app:main]
use = egg:Paste#test
filter-with = translogger
[filter:translogger]
use = egg:Paste#translogger
setup_console_handler = False
[server:main]
use = egg:waitress#main
listen = 127.0.0.1:0
[loggers]
keys = root, wsgi
[handlers]
keys = console, accesslog
[formatters]
keys = generic
[logger_root]
level = INFO
handlers = console
[logger_wsgi]
level = INFO
handlers = accesslog
qualname = wsgi
propagate = 0
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[handler_accesslog]
class = logging.handlers.RotatingFileHandler
args = ('%%(here)s/access.log', 'a', %d, %d)
formatter = generic
[formatter_generic]
format = %%(asctime)s %%(message)s
`, limit, backups))
	ask := func(round int) {
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				for n := range each {
					resp, err := s.client.Get(fmt.Sprintf("%s/r%d-%d-%d.", s.base,
						round, client, n))
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("got %s", resp.Status)
					}
					if client == 0 && n == each/2 {
						s.signal(syscall.SIGHUP)
					}
				}
			})
		}
		wg.Wait()
		s.waitForLog("msg=reloaded", round+1)
	}
	ask(0)
	s.kill()
	s.start()
	ask(1)
	s.stop()

	names, err := filepath.Glob(filepath.Join(s.dir, "access.log*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	path := regexp.MustCompile(`/r\d+-\d+-\d+\.`)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) >= limit {
			t.Errorf("%s has %d bytes, want fewer than %d", name, len(text), limit)
		}
		for line := range strings.Lines(string(text)) {
			seen[path.FindString(line)]++
		}
	}
	for round := range 2 {
		for client := range clients {
			for n := range each {
				if path := fmt.Sprintf("/r%d-%d-%d.", round, client, n); seen[path] != 1 {
					t.Fatalf("%s is there %d times, want once", path, seen[path])
				}
			}
		}
	}
	for n := range names[1:] {
		if _, err := os.Stat(filepath.Join(s.dir, fmt.Sprintf("access.log.%d", n+1))); err != nil {
			t.Errorf("of %d backups: %v", len(names)-1, err)
		}
	}
	if len(names) < 10 {
		t.Errorf("got %d files, want many", len(names))
	}
}
