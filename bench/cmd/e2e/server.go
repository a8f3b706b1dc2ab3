package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
)

// A setup says how a program is started. The zero setup is the site on an empty folder.
type setup struct {
	dir      string   // the folder of its data, which stays; an empty one if ""
	postgres string   // the URI of its database
	settings []string // further settings of Pasteline's app
	ini      string   // the whole .ini text, for Pasteline
	ready    string   // the path of the first request; /hello if ""
}

// A server is one started program.
type server struct {
	name   string
	cmd    *exec.Cmd
	url    string
	dir    string        // for its files
	remove bool          // dir is deleted by stop
	took   time.Duration // until the first answer
	stderr bytes.Buffer
	client *http.Client
}

const (
	startTimeout = 60 * time.Second
	settle       = 500 * time.Millisecond // until memory is measured
)

// start starts a program, and returns when it has answered.
func (b *bench) start(ctx context.Context, name string, how setup) (_ *server, err error) {
	s := &server{name: name, dir: how.dir, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: clients, DisableCompression: true,
	}}}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "pasteline-e2e-"); err != nil {
			return nil, err
		}
		s.remove = true
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s.url = "http://127.0.0.1:" + port
	if s.cmd, err = b.command(name, s.dir, port, how); err != nil {
		return nil, err
	}
	s.cmd.Stderr = &s.stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, s.clean())
	}
	ready := "/hello"
	if how.ready != "" {
		ready = how.ready
	}
	for {
		err := s.get(ctx, ready, "", io.Discard)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(began) > startTimeout {
			err = fmt.Errorf("%s does not answer: %w", name, err)
			s.stop(&err)
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
	s.took = time.Since(began)
	s.client.CloseIdleConnections()
	time.Sleep(settle)
	return s, nil
}

// command returns the command that serves a site: that of cmd/site with an .ini file for
// Pasteline's, and that of cmd/peer for any other.
func (b *bench) command(name, dir, port string, how setup) (*exec.Cmd, error) {
	if !strings.HasPrefix(name, sites.Pasteline) {
		return exec.Command(b.bin+"/peer", //nolint:gosec,noctx // see stop
			"-addr", "127.0.0.1:"+port, "-dir", dir, "-postgres", how.postgres, name), nil
	}
	ini := how.ini
	if ini == "" {
		database := "bolt://%(here)s/" + sites.DataFile
		if how.postgres != "" {
			database = sites.PoolURI(how.postgres)
		}
		ini = sites.Ini(database, how.settings...)
	}
	path := filepath.Join(dir, "site.ini")
	ini = strings.Replace(ini, "port = 0", "port = "+port, 1)
	if err := os.WriteFile(path, []byte(ini), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(b.bin+"/site", "--quiet", path), nil //nolint:gosec,noctx // see stop
}

// stop ends the program, and adds to *err its failure and, if *err is set, its messages.
func (s *server) stop(err *error) {
	s.client.CloseIdleConnections()
	failure := s.cmd.Process.Signal(syscall.SIGTERM)
	if failure == nil {
		failure = s.cmd.Wait()
	}
	if failure != nil || *err != nil {
		*err = errors.Join(*err, failure)
		if s.stderr.Len() > 0 {
			*err = fmt.Errorf("%w\n%s", *err, &s.stderr)
		}
	}
	*err = errors.Join(*err, s.clean())
}

func (s *server) clean() error {
	if !s.remove {
		return nil
	}
	return os.RemoveAll(s.dir)
}

func freePort(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}

func (s *server) get(ctx context.Context, path, cookie string, to io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return s.send(r, to)
}

func (s *server) send(r *http.Request, to io.Writer) error {
	response, err := s.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, response.Status))
	}
	return errors.Join(err, response.Body.Close())
}

// memory returns a figure of the program's memory, in bytes: VmRSS, or VmHWM for its peak.
func (s *server) memory(field string) (int, error) {
	return s.proc("status", field+":",
		" kB", 1<<10)
}

// written returns the number of bytes that the program has had written to disks.
func (s *server) written() (int, error) { return s.proc("io", "write_bytes:", "", 1) }

// proc returns the number that follows a label in a file of the program in /proc, times a factor.
func (s *server) proc(file, label, unit string, factor int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, label); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), unit))
			return n * factor, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/%s has no line %q", file, label)
}

// tick is the unit of the times in /proc/PID/stat.
const tick = 10 * time.Millisecond

// cpu returns the CPU time of the program, in user and in system mode.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may have any characters.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // the fields of proc(5) from the third on
	user, userErr := strconv.Atoi(fields[utime])
	system, systemErr := strconv.Atoi(fields[stime])
	return time.Duration(user+system) * tick, errors.Join(userErr, systemErr)
}
