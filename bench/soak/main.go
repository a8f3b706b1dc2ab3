// Command soak runs a server for a while under everything at once, and says what it has become of: memory, goroutines, file
// descriptors and the size of the database at the start, every so often, and at the end.
//
//	soak [-for 10m] [-clients 32]
//
// Clients read and write sessions of their own and one that all share, so that they conflict; send bodies that spill to disk;
// fetch large responses; hang up; and are new visitors whose sessions expire and are swept. Meanwhile the server's file is loaded
// anew again and again. At the end every session that was only ever written by clients that waited for the answer must have
// what was acknowledged: one that has less is a failure.
//
// It builds the server itself, so it is to be started in the folder of the bench module.
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
	flag.DurationVar(&s.timeout, "timeout", 30*time.Second, "the sessions' timeout: what is not used for so long is swept")
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

// A soak is what was asked for, and what came of it.
type soak struct {
	duration, reload, every, timeout time.Duration
	clients                          int

	server *server
	client *http.Client
	shared string       // the cookie of the session that all write to
	sum    atomic.Int64 // what was acknowledged of it
	maybe  atomic.Int64 // requests on it whose answer nobody knows: the client hung up, or the answer was an error

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
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: s.clients}}
	cookie, _, err := s.incr(ctx, "")
	if err != nil {
		return err
	}
	s.shared = cookie
	s.sum.Add(1)

	say(w, "  time  memory  goroutines  descriptors  file\n")
	began := time.Now()
	if err := s.line(ctx, w, began); err != nil {
		return err
	}
	running, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	var group sync.WaitGroup
	results := make([]error, s.clients)
	for i := range s.clients {
		group.Go(func() { results[i] = s.work(running) })
	}
	group.Go(func() { s.repeat(running, s.reload, s.server.reload) })
	group.Go(func() { s.repeat(running, s.every, func() error { return s.line(ctx, w, began) }) })
	group.Wait()
	if err := errors.Join(results...); err != nil {
		return err
	}
	if err := s.sharedIsWhole(ctx, w); err != nil {
		return err
	}
	// Idle again, as at the start; what expired meanwhile is swept.
	s.client.CloseIdleConnections()
	if err := pause(ctx, 2*s.timeout); err != nil {
		return err
	}
	if err := s.line(ctx, w, began); err != nil {
		return err
	}
	for i, kind := range kinds {
		say(w, "%-14s %8d done, %d failed\n", kind.name, s.counts[i].ok.Load(), s.counts[i].failed.Load())
	}
	if s.first.err != nil {
		say(w, "the first failure: %v\n", s.first.err)
	}
	return s.server.complaints()
}

// say prints; a terminal that is gone is no reason to end.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// sharedIsWhole fails if an increment of the shared session is missing, or one is there that nobody sent.
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
	say(w, "the shared session has %d: %d were acknowledged, and of %d nobody waited for the answer\n", got, low, open)
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

// kinds are what clients do, each so often.
var kinds = []struct {
	name   string
	weight int
	do     func(s *soak, ctx context.Context, b *browser) error
}{
	{"hello", 20, func(s *soak, ctx context.Context, _ *browser) error { return s.get(ctx, "/hello", "", nil) }},
	{"read", 20, (*soak).readOwn},
	{"incr own", 20, (*soak).incrOwn},
	{"incr shared", 20, (*soak).incrShared},
	{"new visitor", 10, func(s *soak, ctx context.Context, _ *browser) error { _, _, err := s.incr(ctx, ""); return err }},
	{"hang up", 5, (*soak).hangUp},
	{"large body", 3, (*soak).upload},
	{"large response", 2, func(s *soak, ctx context.Context, _ *browser) error { return s.get(ctx, "/large/8000000", "", nil) }},
}

func (s *soak) work(ctx context.Context) error {
	total := 0
	for _, kind := range kinds {
		total += kind.weight
	}
	var b browser
	for ctx.Err() == nil {
		n := rand.IntN(total) //nolint:gosec // nobody needs to be kept from guessing
		for i, kind := range kinds {
			if n -= kind.weight; n >= 0 {
				continue
			}
			// A request that was begun is ended: only hangUp hangs up.
			err := kind.do(s, context.WithoutCancel(ctx), &b)
			if wrong, ok := errors.AsType[*wrongError](err); ok {
				return wrong
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

func (e *wrongError) Error() string { return fmt.Sprintf("a session has %d, want %d", e.got, e.want) }

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

func (s *soak) incrOwn(ctx context.Context, b *browser) error {
	cookie, n, err := s.incr(ctx, b.cookie)
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

// hangUp leaves before the answer can have come, or just when it does.
func (s *soak) hangUp(ctx context.Context, _ *browser) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond) //nolint:gosec // as above
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
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.url+"/upload", io.LimitReader(zeros{}, bodySize))
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
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.url+"/incr", nil)
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
		err = errors.Join(err, fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, response.Status))
	}
	return response.Header, errors.Join(err, response.Body.Close())
}

// line writes what the server is like now.
func (s *soak) line(ctx context.Context, w io.Writer, began time.Time) error {
	state, err := s.server.state(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%6s  %3d MB  %10d  %11d  %.1f MB\n", time.Since(began).Round(time.Second), state.memory>>20, state.goroutines,
		state.descriptors, float64(state.file)/(1<<20))
	return err
}

// build makes the server.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "site")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/site") //nolint:gosec // names of ours
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
