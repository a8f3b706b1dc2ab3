// Package mariadbtest gives tests a MariaDB of their own, run from the binary that is installed (10.5 or later; on Debian:
// apt-get install mariadb-server-core). A test that finds none is skipped, or fails when PASTELINE_REQUIRE_SERVICES is set.
//
// The server has InnoDB, transactions and XA. It has no system tables, because to make them takes longer than most tests: so
// there are no accounts or events, no stored procedures but for [Procedures], and everybody who connects may do everything. It listens on a port of the
// loopback interface. Nothing of it outlives the test process, even one that is killed.
package mariadbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

var software = testserver.Software{
	Name:    "MariaDB",
	Program: "mariadbd",
	Folders: []string{
		"/usr/sbin", // Debian; often not in PATH
		"/usr/libexec",
		"/opt/homebrew/opt/mariadb/bin",
		"/usr/local/opt/mariadb/bin",
	},
	Package: "mariadb-server-core",
}

// Database returns the data source name, for github.com/go-sql-driver/mysql, of a new, empty database on a server that the
// process shares, started at the first call. It has no parameters: append "?parseTime=true" to choose some. The database stays
// until the process ends: to drop it would wait for whatever a test has left open or prepared. What XA RECOVER lists is that of
// all databases. The server never waits for a disk, and allows 200 connections. Database is safe for concurrent use.
func Database(tb testing.TB) string {
	tb.Helper()
	software.Require(tb)
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	dsn, err := s.create(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// Procedures makes it possible to create stored procedures on the server of [Database], by the table for them that comes with it. The test is
// skipped if that is not installed. Procedures is safe for concurrent use.
func Procedures(tb testing.TB) {
	tb.Helper()
	software.Require(tb)
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	s.procedures.Do(func() { s.proceduresErr = s.makeProcedures(tb.Context()) })
	if s.proceduresErr != nil {
		tb.Fatal(s.proceduresErr)
	}
}

// makeProcedures makes the tables of the script mysql_system_tables.sql that procedures need.
func (s *server) makeProcedures(ctx context.Context) (err error) {
	db, err := sql.Open("mysql", s.dsn(""))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var charsets string
	if err := db.QueryRowContext(ctx, "SELECT @@character_sets_dir").Scan(&charsets); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(charsets)), "mysql_system_tables.sql"))
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS mysql"); err != nil {
		return err
	}
	for line := range strings.Lines(string(script)) {
		const create = "CREATE TABLE IF NOT EXISTS "
		table, found := strings.CutPrefix(line, create)
		if !found || !strings.HasPrefix(table, "proc ") && !strings.HasPrefix(table, "procs_priv ") {
			continue
		}
		if _, err := db.ExecContext(ctx, create+"mysql."+strings.TrimRight(table, "; \n")); err != nil {
			return err
		}
	}
	return nil
}

type server struct {
	port      int
	databases atomic.Int64

	procedures    sync.Once
	proceduresErr error
}

var shared = sync.OnceValues(func() (*server, error) {
	program, err := software.Look()
	if err != nil {
		return nil, err
	}
	home, err := testserver.NewHome("mysql")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home.Dir, "data")
	if err := home.Run("mkdir", data); err != nil {
		return nil, err
	}
	s := &server{}
	for range 20 {
		if s.port, err = testserver.FreePort(); err != nil {
			break
		}
		// Between the look and the start somebody else may have taken it, another test process for one.
		_, err = home.Start("ready for connections", program,
			"--no-defaults", // no file of /etc
			"--datadir="+data,
			"--socket=socket", // relative, for the path of a socket must not be longer than 107 bytes
			"--bind-address=127.0.0.1",
			"--port="+strconv.Itoa(s.port),
			"--skip-grant-tables",
			"--skip-name-resolve",
			"--character-set-server=utf8mb4",
			"--max-connections=200",
			"--innodb-stats-persistent=OFF", // its tables are not there
			"--innodb-buffer-pool-size=16M",
			"--innodb-log-file-size=16M",
			"--innodb-flush-log-at-trx-commit=0",
			"--innodb-doublewrite=OFF",
			"--innodb-flush-method=nosync",
		)
		if !errors.Is(err, testserver.ErrPortInUse) {
			break
		}
	}
	if err != nil {
		home.Close()
		return nil, err
	}
	return s, nil
})

// create makes an empty database.
func (s *server) create(ctx context.Context) (dsn string, err error) {
	db, err := sql.Open("mysql", s.dsn(""))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name)
	return s.dsn(name), err
}

func (s *server) dsn(database string) string {
	c := mysql.NewConfig()
	c.User = "root"
	c.Net = "tcp"
	c.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	c.DBName = database
	return c.FormatDSN()
}
