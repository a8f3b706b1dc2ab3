package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

// onPostgres changes the one line of a tutorial's file that an app has to change which outgrows one
// process.
func onPostgres(ini, uri string) string {
	return strings.Replace(ini, "bolt://%(here)s/data.db", strings.ReplaceAll(uri, "%", "%%"), 1)
}

// connect is for looking at a database from outside.
func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// count returns the number that a query returns.
func count(t *testing.T, conn *pgx.Conn, query string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const tables = `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`

// Commands that only look change nothing in the database: not even tables are made.
func TestLookingChangesNothingOnPostgres(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	conn := connect(t, uri)
	command := func(uri string, words ...string) (out, errs string, code int) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "site.ini"), []byte(onPostgres(tutorial(t), uri)),
			0o644); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		cmd := exec.Command("serve", words...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
		_ = cmd.Run() // what it ended with is looked at
		return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	}
	wrong := strings.Replace(uri, "/test_", "/no_such_", 1)
	for _, tt := range []struct {
		name, uri string
		words     []string
		out, errs string // what has to be in there
		code      int
		tables    int // afterwards
	}{
		{"check", uri, []string{"check", "site.ini"}, "site.ini: OK", "", 0, 0},
		{"routes", uri, []string{"routes", "site.ini"}, "/shared/incr", "", 0, 0},
		{
			"no such database", wrong,
			[]string{"check", "site.ini"},
			"",
			`does not exist: create it, with createdb for example`, 1, 0,
		},
		{
			"an option that is none", uri + "&pool_max_con=3",
			[]string{"check", "site.ini"},
			"",
			`unrecognized configuration parameter "pool_max_con": the options`, 1, 0,
		},
		{
			"a server that lacks it, too", uri + "&pool_max_con=3",
			[]string{"site.ini"},
			"",
			`unrecognized configuration parameter "pool_max_con": the options`, 1, 0,
		},
		{"request, which is work", uri, []string{"request", "site.ini", "/shared"}, "0", "", 0, 4},
		{"check afterwards", uri, []string{"check", "site.ini"}, "site.ini: OK", "", 0, 4},
	} {
		out, errs, code := command(tt.uri, tt.words...)
		if !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) || code != tt.code {
			t.Errorf("%s: got %q, %q, exit code %d, want %q, %q, %d", tt.name, out, errs, code,
				tt.out, tt.errs, tt.code)
		}
		if n := count(t, conn, tables); n != tt.tables {
			t.Errorf("%s: there are %d tables, want %d", tt.name, n, tt.tables)
		}
	}
}

// busyConnections counts the connections that are not idle, and the locks that they hold.
const busyConnections = `
	SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle')
	     + (SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND pid <> pg_backend_pid())`

// What fails keeps no connection busy and no lock, and neither does a handler that waits for
// something else.
func TestFailuresKeepNothingBusyOnPostgres(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	conn := connect(t, uri)
	s := newSite(t, "serve-test", onPostgres(troubled(t), uri))
	v := s.newVisitor()
	v.must("POST", "/incr")
	nothingBusy := func(when string) {
		t.Helper()
		deadline := time.Now().Add(startLimit) // a rollback is not waited for
		for count(t, conn, busyConnections) > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("%s: connections are still busy", when)
			}
		}
		if n := v.number("GET", "/read"); n != 1 {
			t.Errorf("%s: got %d, want 1", when, n)
		}
	}
	nothingBusy("after a request")
	if got, err := v.do(t.Context(), "POST", "/fail"); err != nil ||
		got.status != http.StatusInternalServerError {
		t.Errorf("/fail: got %d, %v, want 500", got.status, err)
	}
	nothingBusy("after a veto")
	if got, err := v.do(t.Context(), "POST", "/incr", "Trouble", "panic"); err == nil &&
		got.status < 500 {
		t.Errorf("panic: got %d %q", got.status, got.body)
	}
	nothingBusy("after a panic")

	called := strings.Count(s.logText(), "msg=called")
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := v.do(ctx, "POST", "/incr", "Trouble", "stall")
		left <- err
	}()
	s.waitForLog("msg=called", called+1)
	nothingBusy("while a handler that has written waits")
	leave()
	if err := <-left; err == nil {
		t.Error("the client that left got an answer")
	}
	s.waitForLog("status=499", 1)
	nothingBusy("after its client has left")
	s.stop()
}
