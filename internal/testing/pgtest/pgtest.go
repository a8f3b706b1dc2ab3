package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

var software = testserver.Software{
	Name:    "PostgreSQL",
	Program: "postgres",
	Folders: []string{
		"/usr/lib/postgresql/*/bin", // Debian
		"/usr/pgsql-*/bin",          // the packages of postgresql.org for Red Hat
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	},
	Package: "postgresql",
}

// Database returns the URI of a new, empty database; its user is a superuser. The server is shared
// by the process, and started by the first call. The database is dropped when the test ends, with
// its connections and prepared transactions.
//
// The server does not wait for the disk, so it does not show the cost of a commit, and must not be
// killed; see [Start] for both. It allows 200 connections and 100 prepared transactions, over all
// tests. Database is safe for concurrent use.
func Database(tb testing.TB) string {
	tb.Helper()
	software.Require(tb)
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.WithoutCancel(tb.Context())
	name, err := s.create(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.drop(ctx, name); err != nil {
			tb.Error(err)
		}
	})
	return s.URI(name)
}

// shared starts the shared server.
var shared = sync.OnceValues(func() (*Server, error) {
	return newServer([]string{noSync, "synchronous_commit = off", "full_page_writes = off"})
})

// template creates the data directory that all servers of the process start with a copy of. It is
// removed with the process.
var template = sync.OnceValues(func() (string, error) {
	postgres, err := software.Look()
	if err != nil {
		return "", err
	}
	home, err := testserver.NewHome(testserver.Memory(), user)
	if err != nil {
		return "", err
	}
	data := filepath.Join(home.Dir, "data")
	return data, home.Run(filepath.Join(filepath.Dir(postgres), "initdb"), "--pgdata="+data,
		"--username="+user, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")
})

// user is the superuser of the servers, and the account that they run under if the tests run as
// root.
const user = "postgres"

// noSync is the setting of a server that does not wait for the disk.
const noSync = "fsync = off"

// settings are the settings of every server.
var settings = []string{
	"listen_addresses = '127.0.0.1'",
	// relative, because the path of a socket is limited to 107 bytes
	"unix_socket_directories = '.'",
	"max_connections = 200",
	"max_prepared_transactions = 100",
	"shared_buffers = 16MB",
	// in the data directory, so that a kill leaves nothing behind
	"dynamic_shared_memory_type = mmap",
	"timezone = UTC",
	"log_timezone = UTC",
}

// configure appends settings to those of a data directory. The last one of a name applies.
func configure(data string, settings []string) (err error) {
	file, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, line := range settings {
		if _, err := fmt.Fprintln(file, line); err != nil {
			return err
		}
	}
	return nil
}

// create creates an empty database.
func (s *Server) create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	// Not from template1, the default: a client may be connected to it.
	return name, s.do(ctx, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
}

// drop drops a database. Its prepared transactions, which would prevent that, can only be rolled
// back by a connection to it.
func (s *Server) drop(ctx context.Context, name string) error {
	return s.connect(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT format('ROLLBACK PREPARED %L', gid) FROM `+
			`pg_prepared_xacts WHERE database = $1`, name)
		if err != nil {
			return err
		}
		rollbacks, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, rollback := range rollbacks {
			if err := s.do(ctx, name, rollback); err != nil {
				return err
			}
		}
		_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err
	})
}

// do runs one statement in a database.
func (s *Server) do(ctx context.Context, database, statement string) error {
	return s.connect(ctx, database, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

func (s *Server) connect(ctx context.Context, database string,
	use func(*pgx.Conn) error,
) (err error) {
	conn, err := pgx.Connect(ctx, s.URI(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return use(conn)
}
