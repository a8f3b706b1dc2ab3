package pgtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

var bouncerSoftware = testserver.Software{
	Name:    "PgBouncer",
	Program: "pgbouncer",
	Folders: []string{
		"/usr/sbin", // Debian; not in every PATH
		"/opt/homebrew/bin",
		"/usr/local/bin",
	},
	Package: "pgbouncer",
}

// Bouncer is the private PgBouncer of one test, in front of a database. It is safe for concurrent
// use.
type Bouncer struct {
	tb       testing.TB
	home     *testserver.Home
	program  string
	database *url.URL
	port     int
}

// StartBouncer starts a PgBouncer (1.18 or later; on Debian: apt-get install pgbouncer) in front of
// the database of a URI that [Database] or [Server.CreateDatabase] has returned. It has PgBouncer's
// default settings, except for the given lines of its section [pgbouncer], such as "pool_mode =
// transaction". It is stopped when the test ends.
func StartBouncer(tb testing.TB, uri string, lines ...string) *Bouncer {
	tb.Helper()
	b := &Bouncer{tb: tb, program: bouncerSoftware.Require(tb)}
	var err error
	if b.database, err = url.Parse(uri); err != nil {
		tb.Fatal(err)
	}
	if b.home, err = testserver.NewHome("", user); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.home.Close)
	if err := b.start(lines); err != nil {
		tb.Fatal(err)
	}
	return b
}

func (b *Bouncer) start(lines []string) (err error) {
	for range 20 {
		if b.port, err = testserver.FreePort(); err != nil {
			return err
		}
		if err = b.write(lines); err != nil {
			return err
		}
		_, err = b.home.Start("process up", b.program, b.file())
		if !errors.Is(err, testserver.ErrPortInUse) {
			break
		}
	}
	return err
}

func (b *Bouncer) file() string { return filepath.Join(b.home.Dir, "pgbouncer.ini") }

// write writes the configuration. Users need no password, as with the server.
func (b *Bouncer) write(lines []string) error {
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"+
		"listen_port = %d\nunix_socket_dir =\nauth_type = trust\nauth_file = %s\nadmin_users "+
		"= %s\n%s\n",
		b.database.Hostname(), b.database.Port(), b.port, filepath.Join(b.home.Dir, "users"), user,
		strings.Join(lines, "\n"))
	return errors.Join(
		os.WriteFile(filepath.Join(b.home.Dir, "users"), []byte(`"`+user+`" ""`+"\n"), 0o644),
		os.WriteFile(b.file(), []byte(text), 0o644))
}

// URI returns the URI of the database through PgBouncer.
func (b *Bouncer) URI() string {
	through := *b.database
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
	return through.String()
}

// Admin returns the URI of PgBouncer's console, which accepts statements such as SHOW POOLS, and
// SET pool_mode = transaction, in the simple protocol only.
func (b *Bouncer) Admin() string {
	console := *b.database
	console.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
	console.Path = "/pgbouncer"
	console.RawQuery += "&default_query_exec_mode=simple_protocol"
	return console.String()
}

// Log returns the log of PgBouncer.
func (b *Bouncer) Log() string { return b.home.Log() }
