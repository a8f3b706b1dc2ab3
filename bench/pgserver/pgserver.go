// Package pgserver provides a PostgreSQL server for measurements: the one that
// PASTELINE_BENCH_POSTGRES names, or a private one. [Start] returns it.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable with the URI of a database that may be written to.
const Variable = "PASTELINE_BENCH_POSTGRES"

// ErrNotInstalled is returned if no URI is set and no server is installed.
var ErrNotInstalled = errors.New("no PostgreSQL: set " + Variable +
	" to a database's URI, or install Debian's package postgresql")

// A Server is a PostgreSQL server.
type Server struct {
	URI  string
	stop func() error
}

// Close stops a private server and removes its files; another one is left alone.
func (s *Server) Close() error {
	if s.stop == nil {
		return nil
	}
	return s.stop()
}

// Start returns a server that answers. A private one has default settings, including fsync, except
// for its port on the loopback, the number of connections and the shared buffers.
func Start(ctx context.Context) (*Server, error) {
	if uri := os.Getenv(Variable); uri != "" {
		return &Server{URI: uri}, nil
	}
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pasteline-bench-postgres-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	s, err := start(ctx, bin, dir)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	kill := s.stop
	s.stop = func() error { return errors.Join(kill(), remove()) }
	return s, nil
}

// binaries returns the folder of the newest server that is installed.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrNotInstalled
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found,
		func(a, b string) int { return version(a) - version(b) })), nil
}

func start(ctx context.Context, bin, dir string) (*Server, error) {
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, //nolint:gosec // the installed one
		filepath.Join(bin, "initdb"), "-D", data, "-U", "bench", "--auth=trust",
		"--encoding=UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	server := exec.Command( //nolint:gosec,noctx // the installed one; stopped by Close
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-h", "127.0.0.1", "-p", strconv.Itoa(port),
		"-c", "max_connections=200", "-c", "shared_buffers=256MB")
	server.SysProcAttr, server.Dir = attr, dir
	server.Stderr = &log
	if err := server.Start(); err != nil {
		return nil, err
	}
	s := &Server{URI: fmt.Sprintf("postgres://bench@127.0.0.1:%d/postgres?sslmode=disable", port),
		stop: func() error {
			if err := server.Process.Signal(syscall.SIGINT); err != nil { // a fast shutdown
				return err
			}
			return server.Wait()
		}}
	if err := answers(ctx, s.URI); err != nil {
		stop := s.stop()
		return nil, errors.Join(fmt.Errorf("postgres does not answer: %w\n%s", err,
			log.Bytes()), stop)
	}
	return s, nil
}

// unprivileged returns the attributes of a process that is not root, and gives it the folder dir:
// the server refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid),
		Gid: uint32(gid)}}, nil
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

// Analyze has the server collect the statistics of its tables, which otherwise happens later.
func Analyze(ctx context.Context, uri string) error {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	return errors.Join(err, conn.Close(ctx))
}

const startTimeout = 30 * time.Second

func answers(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, uri)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
