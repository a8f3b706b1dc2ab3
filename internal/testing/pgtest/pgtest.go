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

// Database returns the URI of a new, empty database, of which the user is a superuser. It is on a server that the process
// shares, started at the first call, and is dropped when the test ends, with what is still connected to it or prepared in it.
//
// The server never waits for a disk, so it says nothing of the cost of a commit, and must not be killed: for both see [Start].
// It allows 200 connections and 100 prepared transactions, over all tests. Database is safe for concurrent use.
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

// shared starts the server that the process shares.
var shared = sync.OnceValues(func() (*Server, error) {
	return newServer([]string{"fsync = off", "synchronous_commit = off", "full_page_writes = off"})
})

// template makes the data directory that those of all servers of the process are copies of. It is gone with the process.
var template = sync.OnceValues(func() (string, error) {
	postgres, err := software.Look()
	if err != nil {
		return "", err
	}
	home, err := testserver.NewHome(user)
	if err != nil {
		return "", err
	}
	data := filepath.Join(home.Dir, "data")
	return data, home.Run(filepath.Join(filepath.Dir(postgres), "initdb"), "--pgdata="+data, "--username="+user, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
})

// user is the superuser of the servers; and the account that they run as, where the tests run as root.
const user = "postgres"

// settings are those of every server.
var settings = []string{
	"listen_addresses = '127.0.0.1'",
	"unix_socket_directories = '.'", // relative, for the path of a socket must not be longer than 107 bytes
	"max_connections = 200",
	"max_prepared_transactions = 100",
	"shared_buffers = 16MB",
	"dynamic_shared_memory_type = mmap", // in the data directory: nothing is left behind by a kill
	"timezone = UTC",
	"log_timezone = UTC",
}

// configure adds settings to those of a data directory. The last of a name counts.
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

// create makes an empty database.
func (s *Server) create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	// Not from template1, the default: a client may be connected to that.
	return name, s.do(ctx, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
}

// drop drops a database. Prepared transactions would prevent that; they can be rolled back from inside it only.
func (s *Server) drop(ctx context.Context, name string) error {
	return s.connect(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = $1`, name)
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

func (s *Server) connect(ctx context.Context, database string, use func(*pgx.Conn) error) (err error) {
	conn, err := pgx.Connect(ctx, s.URI(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return use(conn)
}
