// Package myapp is the tutorial's application: an app with sessions and a database, behind
// browserid, retry and tm.
//
//	[app:myapp]
//	use = egg:myapp#app
//	zodb_uri = bolt://%(here)s/data.db
//
// (The setting has its name from ZODB, the object database of the Python original.) [Register] adds
// the app to a registry as "egg:myapp#app"; "serve help app myapp" lists its settings. To start a
// program of your own, read myapp.go and programs.go: they contain the parts that every app needs.
// The rest is the page for browsers.
//
// Browsers get a page with their session, a guest book, and two buttons that start requests which
// conflict. Programs get
//
//	GET  /hello        a greeting, without session and database
//	GET  /read         the session's n as text
//	POST /incr         adds one to the session's n, and returns it
//	POST /fail         adds one, then answers 500: leaves no trace
//	GET  /shared       a counter that all visitors share
//	POST /shared/incr  adds one to it, and returns it
//	GET  /events       server-sent events: the shared counter, four times a second
//	POST /body         the SHA-256 of the body, and the number of the attempt that answers
//
// Parameters provoke conflicts: /incr?pause=250 and /shared/incr?pause=250 wait for that many
// milliseconds between reading and writing, so that requests overlap; /body?conflict=2 makes the
// first two attempts fail as if they had met a conflict. The header Pasteline-Attempt holds the
// number of attempts that an answer took.
//
// # Caveats
//
// Handlers are run again after a conflict, so they have no effects besides their transaction. The
// transaction of /events ends when it sends its first byte; later events use transactions of their
// own.
package myapp
