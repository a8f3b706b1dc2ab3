// Package mariadbtest runs private MariaDB servers for tests, from the installed binary (10.5 or
// later; on Debian: apt-get install mariadb-server-core). A test is skipped if it is not installed,
// or fails when PASTELINE_REQUIRE_SERVICES is set.
//
//	dsn := mariadbtest.Database(t) // a new, empty database
//	db, err := sql.Open("mysql", dsn)
//
// The server has InnoDB, transactions and XA. Its system tables are missing, because creating them
// takes longer than most tests: it has no accounts, no events, and no stored procedures except by
// [Procedures], and every client has all privileges. It listens on a port of the loopback
// interface, and does not outlive the test process, even if that is killed.
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

// Database returns the data source name, for github.com/go-sql-driver/mysql, of a new, empty
// database on a server that the process shares, and that the first call starts. It has no
// parameters; append "?parseTime=true" or others. The database stays until the process ends,
// because dropping it would wait for open and prepared transactions. XA RECOVER lists those of all
// databases. The server does not wait for the disk, and allows 200 connections. Database is safe
// for concurrent use.
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

// Procedures enables stored procedures on the server of [Database], with the table for them that
// comes with MariaDB. The test is skipped if that is not installed. Procedures is safe for
// concurrent use.
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

// makeProcedures creates the tables of the script mysql_system_tables.sql that procedures need.
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
	script, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(charsets)),
		"mysql_system_tables.sql"))
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS mysql"); err != nil {
		return err
	}
	for line := range strings.Lines(string(script)) {
		const create = "CREATE TABLE IF NOT EXISTS "
		table, found := strings.CutPrefix(line, create)
		if !found || !strings.HasPrefix(table, "proc ") &&
			!strings.HasPrefix(table, "procs_priv ") {
			continue
		}
		if _, err := db.ExecContext(ctx, create+"mysql."+strings.TrimRight(table,
			"; \n")); err != nil {
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
	home, err := testserver.NewHome(testserver.Memory(), "mysql")
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
		// Another process may have taken the port in the meantime.
		_, err = home.Start("ready for connections", program,
			"--no-defaults", // ignore files in /etc
			"--datadir="+data,
			"--socket=socket", // relative, because the path of a socket is limited to 107 bytes
			"--bind-address=127.0.0.1",
			"--port="+strconv.Itoa(s.port),
			"--skip-grant-tables",
			"--skip-name-resolve",
			"--character-set-server=utf8mb4",
			"--max-connections=200",
			"--innodb-stats-persistent=OFF", // its tables are missing
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

// create creates an empty database.
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
