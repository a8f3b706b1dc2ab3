// Package pgtest runs private PostgreSQL servers for tests, from the installed binaries (13 or
// later; on Debian: apt-get install postgresql). A test is skipped if they are not installed, or
// fails when PASTELINE_REQUIRE_SERVICES is set.
//
//	uri := pgtest.Database(t) // a new, empty database
//
// [Database] is for most tests: all tests of the process share its server. [Start] is for tests
// that kill the server, or need other settings. [StartBouncer] starts a PgBouncer in front of a
// database.
//
// A server listens on a port of the loopback interface and on a socket in its data directory, which
// is in memory or among the temporary files. It does not outlive the test process, even if that is killed. Servers and
// clusters that exist on the machine are never used.
package pgtest
