// Command soak runs a server for a while under all kinds of load at once, and prints its memory,
// goroutines, file descriptors, temporary files and the size of its database at the start, at
// intervals, and at the end.
//
//	soak [-for 10m] [-clients 32]
//
// Clients read and write their own sessions and one that all share, so that they conflict; take
// savepoints and roll back to them; log in, which gives them a new id; run into time-outs inside
// and outside of tm, behind which handlers continue in their transactions; send bodies that spill
// to disk; fetch large responses; hang up; and are new visitors whose sessions expire and are
// swept. Meanwhile the log is rotated and the server's file reloaded repeatedly, every second time
// with a fault in it.
//
// The command fails if a session has fewer or more increments than were acknowledged; if the server
// has more goroutines, descriptors or temporary files at the end than at the start; if the database
// has grown in the last third as if no space were reused; or if the server logged an error.
//
// It builds the server itself, so it must be started in the folder of the bench module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var s soak
	flag.DurationVar(&s.duration, "for", 10*time.Minute, "how long")
	flag.IntVar(&s.clients, "clients", 32, "how many clients")
	flag.DurationVar(&s.reload, "reload", 10*time.Second, "the time between two reloads")
	flag.DurationVar(&s.every, "every", time.Minute, "the time between two lines")
	flag.DurationVar(&s.timeout, "timeout", 30*time.Second,
		"the sessions' timeout; unused sessions are swept after it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

type count struct{ ok, failed atomic.Int64 }

// A soak has the options of a run and its results.
type soak struct {
	duration, reload, every, timeout time.Duration
	clients                          int

	server *server
	client *http.Client
	shared string       // the cookie of the session that all write to
	sum    atomic.Int64 // acknowledged increments
	// requests on it of unknown outcome: the client hung up, or the answer was an error
	maybe atomic.Int64

	counts []count // for each of kinds
	first  struct {
		sync.Once
		err error
	}
}

func (s *soak) run(ctx context.Context, w io.Writer) (err error) {
	if s.server, err = startServer(ctx, s.timeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.server.stop()) }()
	s.counts = make([]count, len(kinds))
	s.client = &http.Client{Timeout: time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: s.clients}}
	cookie, _, err := s.incr(ctx, "")
	if err != nil {
		return err
	}
	s.shared = cookie
	s.sum.Add(1)

	s.client.CloseIdleConnections()
	say(w, "   time  memory  goroutines  descriptors  temporary  file\n")
	began := time.Now()
	start, err := s.line(ctx, w, began)
	if err != nil {
		return err
	}
	running, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	var group sync.WaitGroup
	results := make([]error, s.clients)
	for i := range s.clients {
		group.Go(func() { results[i] = s.work(running) })
	}
	var rotations error
	group.Go(func() {
		s.repeat(running, s.reload, func() error {
			err := s.server.rotate(ctx)
			rotations = errors.Join(rotations, err)
			return err
		})
	})
	group.Go(func() {
		s.repeat(running, s.every, func() error {
			_, err := s.line(ctx, w, began)
			return err
		})
	})
	var late state // after two thirds
	group.Go(func() {
		if pause(running, s.duration*2/3) == nil {
			if state, err := s.server.state(ctx); err == nil {
				late = state
			}
		}
	})
	group.Wait()
	if err := errors.Join(append(results, rotations)...); err != nil {
		return err
	}
	if err := s.sharedIsWhole(ctx, w); err != nil {
		return err
	}
	// The server is idle, as at the start; the expired sessions are swept.
	s.client.CloseIdleConnections()
	if err := pause(ctx, 2*s.timeout); err != nil {
		return err
	}
	end, err := s.line(ctx, w, began)
	if err != nil {
		return err
	}
	for i, kind := range kinds {
		say(w, "%-16s %8d done, %d failed\n", kind.name, s.counts[i].ok.Load(),
			s.counts[i].failed.Load())
	}
	say(w, "%-16s %8d done\n", "log rotation", s.server.turns)
	if s.first.err != nil {
		say(w, "the first failure: %v\n", s.first.err)
	}
	return errors.Join(compare(w, start, late, end), s.server.complaints())
}

// compare prints a table of the states at the start and at the end, and returns an error if a
// figure has grown that must not.
func compare(w io.Writer, start, late, end state) error {
	const (
		few       = 5       // goroutines and descriptors: connections that are just being closed
		someSpace = 4 << 20 // by which a file may grow
	)
	var errs []error
	say(w, "\n| | start | end | allowed |\n|---|---|---|---|\n")
	row := func(name string, start, end, most int) {
		say(w, "| %s | %d | %d | %d |\n", name, start, end, most)
		if end > most {
			errs = append(errs, fmt.Errorf("%s: %d at the end, and %d at the start", name,
				end, start))
		}
	}
	row("goroutines", start.goroutines, end.goroutines, start.goroutines+few)
	row("descriptors", start.descriptors, end.descriptors, start.descriptors+few)
	row("temporary files", start.temporary, end.temporary, start.temporary)
	row("database, KB", int(start.file>>10), int(end.file>>10),
		int(max(late.file*3/2, start.file+someSpace)>>10))
	say(w, "| memory, MB | %d | %d | |\n", start.memory>>20, end.memory>>20)
	return errors.Join(errs...)
}

// say prints, and ignores errors, such as a closed terminal.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// sharedIsWhole fails if an acknowledged increment of the shared session is missing, or if it has
// more than were sent.
func (s *soak) sharedIsWhole(ctx context.Context, w io.Writer) error {
	var body strings.Builder
	if err := s.get(ctx, "/read", s.shared, &body); err != nil {
		return err
	}
	got, err := strconv.ParseInt(body.String(), 10, 64)
	if err != nil {
		return err
	}
	low, open := s.sum.Load(), s.maybe.Load()
	say(w, "the shared session has %d increments: %d were acknowledged, %d were sent without "+
		"waiting for the response\n", got, low, open)
	if got < low || got > low+open {
		return &wrongError{int(got), int(low)}
	}
	return nil
}

func (s *soak) repeat(ctx context.Context, every time.Duration, f func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f(); err != nil {
				s.fail(err)
			}
		}
	}
}

func (s *soak) fail(err error) { s.first.Do(func() { s.first.err = err }) }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A browser is one client.
type browser struct {
	cookie string
	n      int  // what its session has
	sure   bool // whether that is known
}

// kinds are the requests of clients, with their relative frequencies.
var kinds = []struct {
	name   string
	weight int
	do     func(s *soak, ctx context.Context, b *browser) error
}{
	{"hello", 20, func(s *soak, ctx context.Context, _ *browser) error {
		return s.get(ctx, "/hello",
			"", nil)
	}},
	{"read", 20, (*soak).readOwn},
	{"incr own", 20, func(s *soak, ctx context.Context, b *browser) error {
		return s.addOwn(ctx,
			"/incr", b)
	}},
	{"savepoint", 10, func(s *soak, ctx context.Context, b *browser) error {
		return s.addOwn(ctx,
			"/savepoint", b)
	}},
	{"log-in", 5, func(s *soak, ctx context.Context, b *browser) error {
		return s.addOwn(ctx,
			"/login", b)
	}},
	{"inside time-out", 5, (*soak).insideTimeout},
	{"outside time-out", 5, (*soak).outsideTimeout},
	{"incr shared", 20, (*soak).incrShared},
	{"new visitor", 10, func(s *soak, ctx context.Context, _ *browser) error {
		_, _,
			err := s.incr(ctx, "")
		return err
	}},
	{"hang up", 5, (*soak).hangUp},
	{"large body", 3, (*soak).upload},
	{"large response", 2, func(s *soak, ctx context.Context, _ *browser) error {
		return s.get(ctx,
			"/large", "", nil)
	}},
}

func (s *soak) work(ctx context.Context) error {
	total := 0
	for _, kind := range kinds {
		total += kind.weight
	}
	var b browser
	for ctx.Err() == nil {
		n := rand.IntN(total) //nolint:gosec // need not be secret
		for i, kind := range kinds {
			if n -= kind.weight; n >= 0 {
				continue
			}
			// The end of the soak does not cancel a request: only hangUp does.
			err := kind.do(s, context.WithoutCancel(ctx), &b)
			if wrong, ok := errors.AsType[*wrongError](err); ok {
				return fmt.Errorf("%s: %w", kind.name, wrong)
			}
			if err != nil {
				s.counts[i].failed.Add(1)
				s.fail(fmt.Errorf("%s: %w", kind.name, err))
			} else {
				s.counts[i].ok.Add(1)
			}
			break
		}
	}
	return s.readOwn(context.WithoutCancel(ctx), &b)
}

// A wrongError says that the server broke a promise.
type wrongError struct{ got, want int }

func (e *wrongError) Error() string {
	return fmt.Sprintf("a session has %d, want %d",
		e.got, e.want)
}

func (s *soak) readOwn(ctx context.Context, b *browser) error {
	if b.cookie == "" || !b.sure {
		return nil
	}
	var body strings.Builder
	if err := s.get(ctx, "/read", b.cookie, &body); err != nil {
		return err
	}
	n, err := strconv.Atoi(body.String())
	if err == nil && n != b.n {
		err = &wrongError{n, b.n}
	}
	return err
}

// insideTimeout sends an increment that must not commit: it is answered by the time-out, or fails
// in the handler that the time-out leaves running.
func (s *soak) insideTimeout(ctx context.Context, b *browser) error {
	if err := s.tooLate(ctx, "/inside/slow", b); err != nil {
		b.sure = false
		return err
	}
	return s.readOwn(ctx, b)
}

// outsideTimeout sends an increment that may commit, though seldom: outside of tm a time-out can
// come after the decision to commit.
func (s *soak) outsideTimeout(ctx context.Context, b *browser) error {
	b.sure = false
	return s.tooLate(ctx, "/outside/slow", b)
}

func (s *soak) tooLate(ctx context.Context, path string, b *browser) error {
	if b.cookie == "" {
		return nil
	}
	_, _, err := s.post(ctx, path, b.cookie)
	if status, ok := errors.AsType[*statusError](err); ok &&
		status.code >= http.StatusInternalServerError {
		return nil
	}
	return errors.Join(err, errors.New("no time-out"))
}

// addOwn adds one to the browser's session, by one of several requests.
func (s *soak) addOwn(ctx context.Context, path string, b *browser) error {
	cookie, n, err := s.post(ctx, path, b.cookie)
	if err != nil {
		b.sure = false
		return err
	}
	if cookie != "" {
		b.cookie = cookie
	}
	if b.sure && n != b.n+1 {
		return &wrongError{n, b.n + 1}
	}
	b.n, b.sure = n, true
	return nil
}

func (s *soak) incrShared(ctx context.Context, _ *browser) error {
	if _, _, err := s.incr(ctx, s.shared); err != nil {
		s.maybe.Add(1)
		return err
	}
	s.sum.Add(1)
	return nil
}

// hangUp cancels a request before the answer can arrive, or at about that time.
func (s *soak) hangUp(ctx context.Context, _ *browser) error {
	soon := time.Duration(rand.IntN(3000)) * time.Microsecond //nolint:gosec // as above
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	s.maybe.Add(1) // if it is answered in time, too
	_, _, err := s.incr(ctx, s.shared)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

const bodySize = 5 << 20

func (s *soak) upload(ctx context.Context, _ *browser) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.url+"/upload",
		io.LimitReader(zeros{}, bodySize))
	if err != nil {
		return err
	}
	r.ContentLength = bodySize
	var body strings.Builder
	if _, err := s.send(r, &body); err != nil {
		return err
	}
	if body.String() != strconv.Itoa(bodySize) {
		return fmt.Errorf("the server read %s bytes, want %d", &body, bodySize)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A statusError is an answer other than 200.
type statusError struct {
	code    int
	request string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: %d", e.request, e.code) }

func (s *soak) get(ctx context.Context, path, cookie string, to io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.url+path, nil)
	if err != nil {
		return err
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	_, err = s.send(r, to)
	return err
}

// incr adds one to a session, and returns the sum and the cookie if one was set.
func (s *soak) incr(ctx context.Context, cookie string) (set string, n int, err error) {
	return s.post(ctx, "/incr", cookie)
}

func (s *soak) post(ctx context.Context, path, cookie string) (set string, n int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.url+path, nil)
	if err != nil {
		return "", 0, err
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	var body strings.Builder
	header, err := s.send(r, &body)
	if err != nil {
		return "", 0, err
	}
	if line := header.Get("Set-Cookie"); line != "" {
		set, _, _ = strings.Cut(line, ";")
	}
	n, err = strconv.Atoi(body.String())
	return set, n, err
}

func (s *soak) send(r *http.Request, to io.Writer) (http.Header, error) {
	if to == nil {
		to = io.Discard
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(to, response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, &statusError{response.StatusCode, r.Method + " " + r.URL.Path})
	}
	return response.Header, errors.Join(err, response.Body.Close())
}

// line prints the state of the server.
func (s *soak) line(ctx context.Context, w io.Writer, began time.Time) (state, error) {
	state, err := s.server.state(ctx)
	if err != nil {
		return state, err
	}
	_, err = fmt.Fprintf(w, "%7s  %3d MB  %10d  %11d  %9d  %.1f MB\n",
		time.Since(began).Round(time.Second), state.memory>>20, state.goroutines,
		state.descriptors, state.temporary, float64(state.file)/(1<<20))
	return state, err
}

// build compiles the server.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "site")
	cmd := exec.CommandContext(ctx, //nolint:gosec // constants
		"go", "build", "-o", path, "./soak/site")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
