package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/bench/load"
)

// A work is the requests of a run of wrk: one, or several in turn.
type work struct {
	name     string
	cookies  bool     // the browsers send theirs
	requests []string // METHOD PATH ...
}

var (
	// Pages that need no session, requested by browsers that send the cookie of an earlier visit,
	// and by visitors without one.
	helloReturning = work{"hello-returning", true, []string{"GET", "/hello"}}
	helloNew       = work{"hello-new", false, []string{"GET", "/hello"}}

	read = work{"read", true, []string{"GET", "/read"}}
	incr = work{"incr", true, []string{"POST", "/incr"}}
	// Four pages and five reads for every write.
	mixed = work{"mixed", true, strings.Fields(
		strings.Repeat("GET /hello ", 4) + strings.Repeat("GET /read ", 5) + "POST /incr",
	)}
)

// browsers are the cookies of some browsers, which have a session each.
type browsers struct {
	file    string // has one on each line
	cookies []string
}

// save writes the file.
func (b browsers) save() error {
	return os.WriteFile(b.file, []byte(strings.Join(b.cookies, "\n")+"\n"), 0o600)
}

// browsers makes n sessions, and returns their browsers.
func (s *server) browsers(ctx context.Context, n int) (browsers, error) {
	all := browsers{file: filepath.Join(s.dir, fmt.Sprintf("cookies-%d", n))}
	for range n {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/incr", nil)
		if err != nil {
			return all, err
		}
		response, err := s.client.Do(r)
		if err != nil {
			return all, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return all, err
		}
		cookies := response.Cookies()
		if len(cookies) != 1 {
			return all, fmt.Errorf("POST /incr: %s, with %d cookies, want one",
				response.Status, len(cookies))
		}
		all.cookies = append(all.cookies, cookies[0].Name+"="+cookies[0].Value)
	}
	s.client.CloseIdleConnections()
	return all, all.save()
}

// numbers returns the number of each browser.
func (s *server) numbers(ctx context.Context, b browsers) ([]int, error) {
	numbers := make([]int, len(b.cookies))
	for i, cookie := range b.cookies {
		var body strings.Builder
		if err := s.get(ctx, "/read", cookie, &body); err != nil {
			return nil, err
		}
		var err error
		if numbers[i], err = strconv.Atoi(body.String()); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// A result is that of one run of wrk.
type result struct {
	connections              int
	requests, failed, broken int
	elapsed                  time.Duration
	p50, p99, p999, longest  time.Duration
	back                     time.Duration // the shortest time between two requests of a browser
}

var resultLine = regexp.MustCompile(`(?m)^RESULT( \d+){9}$`)

// wrk sends the requests of a work on so many connections.
func (s *server) wrk(
	ctx context.Context, connections int, d time.Duration, from browsers, w work,
) (result, error) {
	threads := min(2, connections)
	cookies := "-"
	if w.cookies {
		cookies = from.file
	}
	args := append([]string{
		"-t" + strconv.Itoa(threads), "-c" + strconv.Itoa(connections), "--timeout", "30s",
		"-d" + strconv.Itoa(max(1, int(d.Seconds()))) + "s", "-s", filepath.Join("wrk", "site.lua"),
		s.url, "--", w.requests[0], w.requests[1], cookies,
	}, w.requests[2:]...)
	cmd := exec.CommandContext(ctx, "wrk", args...) //nolint:gosec // arguments of this package
	cmd.Env = append(os.Environ(), "WRK_THREADS="+strconv.Itoa(threads))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	line := resultLine.Find(out)
	if line == nil {
		return result{}, fmt.Errorf("wrk printed no result:\n%s", out)
	}
	var n [9]int
	for i, field := range strings.Fields(string(line))[1:] {
		if n[i], err = strconv.Atoi(field); err != nil {
			return result{}, err
		}
	}
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	return result{
		connections: connections, requests: n[0], failed: n[1], broken: n[2], elapsed: us(n[3]),
		p50: us(n[4]), p99: us(n[5]), p999: us(n[6]), longest: us(n[7]), back: us(n[8]),
	}, nil
}

// drive is wrk for a run in which no request may fail.
func (s *server) drive(
	ctx context.Context, connections int, d time.Duration, from browsers, w work,
) (result, error) {
	r, err := s.wrk(ctx, connections, d, from, w)
	if err == nil && r.failed+r.broken > 0 {
		err = fmt.Errorf("%s, %d connections: of %d requests %d failed and %d broke",
			w.name, connections, r.requests, r.failed, r.broken)
	}
	return r, err
}

// increments are the metrics of a run of increments: the share of those acknowledged that the
// numbers of the browsers have not, and the share that succeeded. It is an error if wrk has not
// sent the cookies of all browsers. The numbers show that if each browser had time for several
// requests, and never two of them in flight.
func increments(r result, before, after []int) ([]load.Metric, error) {
	acknowledged, counted, silent := r.requests-r.failed, 0, 0
	for i := range after {
		counted += after[i] - before[i]
		if after[i] == before[i] {
			silent++
		}
	}
	certain := acknowledged >= 4*len(after) && r.connections <= len(after)
	if silent > 0 && certain {
		return nil, fmt.Errorf("%d of %d browsers have sent none of %d increments",
			silent, len(after), acknowledged)
	}
	// Requests that were in flight when wrk ended may be counted, too.
	lost := max(0, acknowledged-counted)
	return []load.Metric{
		{Value: float64(acknowledged) / float64(max(1, r.requests)), Unit: "succeeded"},
		{Value: float64(lost) / float64(max(1, acknowledged)), Unit: "lost"},
	}, nil
}

func (r result) line(w io.Writer, name string, more ...load.Metric) error {
	metrics := append([]load.Metric{
		{Value: float64(r.requests-r.failed) / r.elapsed.Seconds(), Unit: "req/s"},
		load.Nanoseconds(r.p50, "p50-ns"), load.Nanoseconds(r.p99, "p99-ns"),
		load.Nanoseconds(r.p999, "p99.9-ns"), load.Nanoseconds(r.longest, "max-ns"),
	}, more...)
	return load.Line(w, name, max(1, r.requests), metrics...)
}
