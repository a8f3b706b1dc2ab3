package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
)

// ini is the site: the same app without time-outs, and with one inside and one outside of tm.
const ini = `
[composite:main]
use = egg:Paste#urlmap
/ = plain
/inside = inside
/outside = outside
/state = egg:soak#state

[app:app]
use = egg:soak#app
database = bolt://%%(here)s/data.db
timeout = %s
slow = 200ms

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a

[filter:timeout]
use = egg:soak#timeout
after = 50ms

[pipeline:plain]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm app

[pipeline:inside]
pipeline = browserid egg:repoze.retry#retry egg:repoze.tm2#tm timeout app

[pipeline:outside]
pipeline = browserid timeout egg:repoze.retry#retry egg:repoze.tm2#tm app

[server:main]
use = egg:Paste#http
host = 127.0.0.1
port = 0

[logging]
output = site.log
level = info
`

// A server is the process under load.
type server struct {
	cmd    *exec.Cmd
	dir    string
	url    string
	ini    string
	errs   *os.File // its standard error
	client *http.Client
	turns  int // of the log
}

const startTimeout = 20 * time.Second

func startServer(ctx context.Context, timeout time.Duration) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "pasteline-soak-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	program, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, ini: fmt.Sprintf(ini, timeout),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := errors.Join(os.Mkdir(s.in("tmp"), 0o700), s.write(s.ini)); err != nil {
		return nil, err
	}
	if s.errs, err = os.Create(s.in("stderr")); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, //nolint:gosec,noctx // built here; stopped by stop
		"--reload-grace", "1s", "--addr-file", s.in("addr"), s.in("site.ini"))
	s.cmd.Stderr = s.errs
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.in("tmp"))
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		text, err := os.ReadFile(s.in("addr"))
		if err == nil && len(text) > 0 {
			s.url = "http://" + strings.Fields(string(text))[0]
			return s, nil
		}
		if time.Since(began) > startTimeout {
			text, _ := os.ReadFile(s.in("stderr"))
			return nil, errors.Join(fmt.Errorf("the server does not start: %s", text),
				s.cmd.Process.Kill())
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, errors.Join(err, s.cmd.Process.Kill())
		}
	}
}

func (s *server) in(name string) string { return filepath.Join(s.dir, name) }

// write replaces the .ini file.
func (s *server) write(text string) error {
	name := s.in("site.ini")
	return errors.Join(os.WriteFile(name+".new", []byte(text), 0o600), os.Rename(name+".new", name))
}

const lineTimeout = 20 * time.Second

// rotate renames the log and requests a reload, every second time of a file with a fault: the log
// must continue in a new file, with the outcome of the reload. Old logs are deleted, except for
// their errors.
func (s *server) rotate(ctx context.Context) error {
	s.turns++
	text, want := s.ini, "msg=reloaded"
	if s.turns%2 == 0 {
		text, want = "[app:app\n"+s.ini, "not reloaded"
	}
	old := fmt.Sprintf("%s.%d", s.in("site.log"), s.turns)
	if err := errors.Join(s.write(text), os.Rename(s.in("site.log"), old),
		s.cmd.Process.Signal(syscall.SIGHUP)); err != nil {
		return err
	}
	for began := time.Now(); ; {
		log, err := os.ReadFile(s.in("site.log"))
		if err == nil && bytes.Contains(log, []byte(want)) {
			break
		}
		if time.Since(began) > lineTimeout {
			return fmt.Errorf("rotation %d: no %q in the new log: %s, %w", s.turns, want, log, err)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil //nolint:nilerr // it is to end
		}
	}
	err := complaintsIn(old)
	return errors.Join(err, os.Remove(old))
}

// complaintsIn returns an error if a log has an error that was not provoked: by a reload of a file
// with a fault, or by a handler that continued after its time-out.
func complaintsIn(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "not reloaded") &&
			!strings.Contains(line, "path=/slow") {
			found = append(found, line)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("the server logged %d errors, the first one %s", len(found), found[0])
	}
	return nil
}

func (s *server) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if err == nil {
		err = s.cmd.Wait()
	}
	return errors.Join(err, s.errs.Close(), os.RemoveAll(s.dir))
}

// complaints returns the errors of the current log, and the output of the process.
func (s *server) complaints() error {
	text, err := os.ReadFile(s.in("stderr"))
	if len(text) > 0 {
		err = errors.Join(err, fmt.Errorf("the server printed %s", text))
	}
	return errors.Join(err, complaintsIn(s.in("site.log")))
}

// A state is the figures that a leak would increase.
type state struct {
	memory, goroutines, descriptors, temporary int
	file                                       int64
}

func (s *server) state(ctx context.Context) (state, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/state", nil)
	if err != nil {
		return state{}, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return state{}, err
	}
	var got sites.State
	if err := errors.Join(json.NewDecoder(response.Body).Decode(&got),
		response.Body.Close()); err != nil {
		return state{}, err
	}
	temporary := 0
	err = filepath.WalkDir(s.in("tmp"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			temporary++
		}
		return nil // one that is gone meanwhile
	})
	if err != nil {
		return state{}, err
	}
	info, err := os.Stat(s.in("data.db"))
	if err != nil {
		return state{}, err
	}
	return state{got.Memory, got.Goroutines, got.Descriptors, temporary, info.Size()}, nil
}
