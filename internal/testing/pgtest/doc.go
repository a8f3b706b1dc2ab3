// Package pgtest gives tests a PostgreSQL of their own, run from the binaries that are installed (13 or later; on Debian:
// apt-get install postgresql). A test that finds none is skipped, or fails when PASTELINE_REQUIRE_SERVICES is set.
//
// [Database] is what most tests need: a new, empty database on a server that all tests of the process share. [Start] is for
// tests that kill the server, or need settings of their own.
//
// [StartBouncer] puts a PgBouncer in front of a database.
//
// A server listens on a port of the loopback interface and on a socket in its data directory, among the temporary files. Nothing
// of it outlives the test process, even one that is killed. Servers and clusters that exist on the machine are never touched.
package pgtest
