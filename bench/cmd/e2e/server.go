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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
)

// A work is what wrk asks for: one kind of request, or several in turn.
type work struct {
	name     string
	sessions bool
	requests []string // METHOD PATH ...
}

var (
	// A page that needs no session, asked for by a browser that has been here before and sends its cookie, and by one that has none
	// yet. Whoever knows browsers by a cookie of their own looks at it, or issues one; whoever has sessions only loads one, or has
	// nothing to do.
	helloReturning = work{"hello-returning", true, []string{"GET", "/hello"}}
	helloNew       = work{"hello-new", false, []string{"GET", "/hello"}}

	read = work{"read", true, []string{"GET", "/read"}}
	incr = work{"incr", true, []string{"POST", "/incr"}}
	// mixed is four pages and five reads for every write.
	mixed = work{"mixed", true, strings.Fields(strings.Repeat("GET /hello ", 4) + strings.Repeat("GET /read ", 5) + "POST /incr")}
	works = []work{helloReturning, helloNew, read, incr}
)

// A server is one started program.
type server struct {
	name   string
	cmd    *exec.Cmd
	url    string
	dir    string
	took   time.Duration // until the first answer
	stderr *bytes.Buffer
	client *http.Client
}

const (
	startTimeout = 20 * time.Second
	settle       = 500 * time.Millisecond // until memory is looked at
)

// start starts a program in an empty folder, and returns when it has answered.
func (b *bench) start(ctx context.Context, name string) (*server, error) {
	dir, err := os.MkdirTemp("", "pasteline-e2e-")
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	var cmd *exec.Cmd
	switch name {
	case sites.Pasteline:
		ini := strings.Replace(fmt.Sprintf(sites.Ini, "bolt://%(here)s/data.db"), "port = 0", "port = "+strconv.Itoa(port), 1)
		cmd, err = withIni(b.bin+"/site", dir, ini)
	default:
		cmd = exec.Command(b.bin+"/peer", "-addr", "127.0.0.1:"+strconv.Itoa(port), "-dir", dir, name) //nolint:gosec,noctx // stopped by stop
	}
	if err != nil {
		return nil, err
	}
	return launch(ctx, name, cmd, dir, port)
}

func withIni(program, dir, ini string) (*exec.Cmd, error) {
	path := filepath.Join(dir, "site.ini")
	if err := os.WriteFile(path, []byte(ini), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, "--quiet", path), nil //nolint:gosec,noctx // one of ours; stopped by stop
}

func launch(ctx context.Context, name string, cmd *exec.Cmd, dir string, port int) (_ *server, err error) {
	s := &server{
		name: name, cmd: cmd, dir: dir, url: "http://127.0.0.1:" + strconv.Itoa(port), stderr: &bytes.Buffer{},
		client: &http.Client{Transport: &http.Transport{}},
	}
	cmd.Stderr = s.stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			s.stop(&err)
		}
	}()
	for {
		err := s.get(ctx, "/hello", "", io.Discard)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(began) > startTimeout {
			return nil, fmt.Errorf("it does not answer: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	s.took = time.Since(began)
	s.client.CloseIdleConnections()
	time.Sleep(settle)
	return s, nil
}

// stop ends the program, and adds to *err what went wrong with that, or what it had to say.
func (s *server) stop(err *error) {
	s.client.CloseIdleConnections()
	failure := s.cmd.Process.Signal(syscall.SIGTERM)
	if failure == nil {
		failure = s.cmd.Wait()
	}
	if failure != nil || *err != nil {
		*err = errors.Join(*err, failure)
		if s.stderr.Len() > 0 {
			*err = fmt.Errorf("%w\n%s", *err, s.stderr)
		}
	}
	*err = errors.Join(*err, os.RemoveAll(s.dir))
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(text)
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

// A cookieFile has a Cookie field on each line.
type cookieFile string

const noCookies cookieFile = "-"

// of returns what a work needs.
func (c cookieFile) of(w work) cookieFile {
	if w.sessions {
		return c
	}
	return noCookies
}

// browsers makes sessions, and returns the file with their cookies.
func (s *server) browsers(ctx context.Context, n int) (cookieFile, error) {
	var lines strings.Builder
	for range n {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/incr", nil)
		if err != nil {
			return "", err
		}
		response, err := s.client.Do(r)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return "", err
		}
		cookies := response.Cookies()
		if len(cookies) != 1 {
			return "", fmt.Errorf("POST /incr: %s, with %d cookies, want one", response.Status, len(cookies))
		}
		fmt.Fprintf(&lines, "%s=%s\n", cookies[0].Name, cookies[0].Value)
	}
	s.client.CloseIdleConnections()
	path := filepath.Join(s.dir, fmt.Sprintf("cookies-%d", n))
	return cookieFile(path), os.WriteFile(path, []byte(lines.String()), 0o600)
}

// number returns the number of the only session in a file.
func (s *server) number(ctx context.Context, cookies cookieFile) (int, error) {
	line, err := os.ReadFile(string(cookies))
	if err != nil {
		return 0, err
	}
	var body bytes.Buffer
	if err := s.get(ctx, "/read", strings.TrimSpace(string(line)), &body); err != nil {
		return 0, err
	}
	return strconv.Atoi(body.String())
}

// A result is what wrk has to say.
type result struct {
	requests, failed, broken int
	elapsed                  time.Duration
	p50, p99, longest        time.Duration
}

var resultLine = regexp.MustCompile(`(?m)^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$`)

// wrk has so many clients ask for a work, for as long as is said.
func (s *server) wrk(ctx context.Context, clients int, duration time.Duration, cookies cookieFile, w work) (result, error) {
	threads := min(2, clients)
	args := []string{
		"-t" + strconv.Itoa(threads), "-c" + strconv.Itoa(clients), "--timeout", "30s",
		"-d" + strconv.Itoa(max(1, int(duration.Seconds()))) + "s", "-s", filepath.Join("wrk", "site.lua"), s.url,
		"--", w.requests[0], w.requests[1], string(cookies),
	}
	cmd := exec.CommandContext(ctx, "wrk", append(args, w.requests[2:]...)...) //nolint:gosec // arguments of ours
	cmd.Env = append(os.Environ(), "WRK_THREADS="+strconv.Itoa(threads))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	fields := resultLine.FindSubmatch(out)
	if fields == nil {
		return result{}, fmt.Errorf("wrk says no result:\n%s", out)
	}
	var n [8]int
	for i := 1; i < len(n); i++ {
		if n[i], err = strconv.Atoi(string(fields[i])); err != nil {
			return result{}, err
		}
	}
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	return result{n[1], n[2], n[3], us(n[4]), us(n[5]), us(n[6]), us(n[7])}, nil
}

func (r result) line(w io.Writer, name string, more ...load.Metric) error {
	metrics := append([]load.Metric{
		{Value: float64(r.requests-r.failed) / r.elapsed.Seconds(), Unit: "req/s"},
		load.Nanoseconds(r.p50, "p50-ns"), load.Nanoseconds(r.p99, "p99-ns"), load.Nanoseconds(r.longest, "max-ns"),
	}, more...)
	return load.Line(w, name, max(1, r.requests), metrics...)
}

// memory returns a figure of the program's memory, in bytes: VmRSS, or VmHWM for the most that it ever had.
func (s *server) memory(field string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			kB, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("/proc says no %s", field)
}
