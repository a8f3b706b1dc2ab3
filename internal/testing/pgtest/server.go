package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

// Server is the private server of one test. [Server.URI], [Server.CreateDatabase] and [Server.Log]
// are safe for concurrent use. Kill, Stop and Start must be called by one goroutine at a time, that
// of the test, because they end the test when they fail.
type Server struct {
	tb        testing.TB // nil for the shared one
	home      *testserver.Home
	program   string
	data      string
	port      int
	process   *testserver.Process
	databases atomic.Int64
}

// Option is a choice for [Start].
type Option func(*options)

type options struct{ settings []string }

// Settings returns an option with lines for postgresql.conf, such as "max_prepared_transactions =
// 0".
func Settings(lines ...string) Option {
	return func(o *options) { o.settings = append(o.settings, lines...) }
}

// Start starts a server, which is removed when the test ends. It waits for the disk as in
// production, and allows 200 connections and 100 prepared transactions.
//
// A test that does not need the disk can set "fsync = off", and the files are in memory if the
// system allows it: no data is lost by a kill, only by a crash of the machine, and start, restart
// and new databases are much faster, because recovery otherwise first writes all files to disk.
func Start(tb testing.TB, choices ...Option) *Server {
	tb.Helper()
	software.Require(tb)
	var o options
	for _, choose := range choices {
		choose(&o)
	}
	s, err := newServer(o.settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.home.Close)
	s.tb = tb
	return s
}

// newServer starts a server with a new data directory. The given settings follow the usual ones.
func newServer(special []string) (_ *Server, err error) {
	original, err := template()
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if s.program, err = software.Look(); err != nil {
		return nil, err
	}
	parent := ""
	if slices.Contains(special, noSync) {
		parent = testserver.Memory()
	}
	if s.home, err = testserver.NewHome(parent, user); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.home.Close()
		}
	}()
	s.data = filepath.Join(s.home.Dir, "data")
	if err := s.home.Run("cp", "-R", original, s.data); err != nil {
		return nil, err
	}
	if err := configure(s.data, slices.Concat(settings, special)); err != nil {
		return nil, err
	}
	for range 20 {
		if s.port, err = testserver.FreePort(); err != nil {
			return nil, err
		}
		// Another process may have taken the port in the meantime.
		if err = s.start(); !errors.Is(err, testserver.ErrPortInUse) {
			break
		}
	}
	return s, err
}

func (s *Server) start() (err error) {
	s.process, err = s.home.Start("database system is ready to accept connections", s.program, "-D",
		s.data, "-p", strconv.Itoa(s.port))
	return err
}

// URI returns the URI of a database of the server; "postgres" always exists. It stays the same
// after a restart.
func (s *Server) URI(database string) string {
	return (&url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable", // TLS would be tried first
	}).String()
}

// CreateDatabase returns the URI of a new, empty database. It exists as long as the server's data.
func (s *Server) CreateDatabase(tb testing.TB) string {
	tb.Helper()
	name, err := s.create(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return s.URI(name)
}

// Kill ends all processes of the server at once, as kill -9 does, and returns when they are gone.
func (s *Server) Kill() {
	s.tb.Helper()
	if err := s.process.Kill(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.sweep(); err != nil {
		s.tb.Fatal(err)
	}
}

// sweep removes files that a killed server leaves beside its data. They only prevent a restart if
// another process has the old server's id; but a segment of System V shared memory would persist.
func (s *Server) sweep() error {
	pidfile := filepath.Join(s.data, "postmaster.pid")
	text, err := os.ReadFile(pidfile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if lines := strings.Split(string(text), "\n"); len(lines) > 6 {
		if key := strings.Fields(lines[6]); len(key) == 2 {
			// The segment may be missing, and so may the command; it has 56 bytes.
			_ = exec.CommandContext(context.Background(), "ipcrm", "-m", key[1]).Run()
		}
	}
	socketLock := filepath.Join(s.data, fmt.Sprintf(".s.PGSQL.%d.lock", s.port))
	if err := os.Remove(socketLock); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Remove(pidfile)
}

// stopLimit is the time limit for a shutdown.
const stopLimit = time.Minute

// Stop shuts the server down: open transactions are rolled back, connections closed. That is
// PostgreSQL's "fast" mode.
func (s *Server) Stop() {
	s.tb.Helper()
	if err := s.process.Signal(syscall.SIGINT); err != nil {
		s.tb.Fatal(err)
	}
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	select {
	case <-s.process.Ended():
	case <-late.C:
		s.tb.Fatalf("the server has not stopped within %v\n%s", stopLimit, s.Log())
	}
}

// Start restarts the server after Kill or Stop, with its data and port, and returns when it has
// recovered.
func (s *Server) Start() {
	s.tb.Helper()
	err := s.start()
	for range 50 {
		if !errors.Is(err, testserver.ErrPortInUse) {
			break
		}
		time.Sleep(100 * time.Millisecond) // the port was taken, most likely by a connection
		err = s.start()
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

// Log returns the log of the server since its first start.
func (s *Server) Log() string { return s.home.Log() }
