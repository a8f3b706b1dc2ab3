// Package myapp is the tutorial's application: an app with sessions and a database, behind the
// filters browserid (gives each browser an id), retry (runs a request again after a conflict) and
// tm (runs each request in a transaction).
//
// [Register] adds the app to a registry under the name "egg:myapp#app", which an .ini file uses
// (egg: stands before the names that packages give to their apps and filters):
//
//	[app:myapp]
//	use = egg:myapp#app
//	zodb_uri = bolt://%(here)s/data.db
//
// The setting zodb_uri names the database; it has its name from ZODB, the object database of the
// Python tutorial. "serve help app myapp" lists the settings. To write your own program, read
// myapp.go and programs.go: they contain the parts that every app needs. The other files make the
// page for browsers.
//
// Browsers get a page with their session, a guest book, and two buttons that start requests which
// conflict. It draws the pipeline, and, with debug = true, the attempts of these requests while they
// run. For other programs the app has these routes:
//
//	GET  /hello        a greeting, without session and database
//	GET  /read         the session's n as text
//	POST /incr         adds one to the session's n, and returns it
//	POST /fail         adds one, then answers 500, so that the change is not stored
//	GET  /shared       a counter that all browsers share
//	POST /shared/incr  adds one to it, and returns it
//	GET  /events       server-sent events: the shared counter, four times a second
//	GET  /races/{name} server-sent events: the requests that have race=name, with debug = true
//	POST /body         the SHA-256 of the body, and the number of the attempt that answers
//
// Parameters provoke conflicts: /incr?pause=250 and /shared/incr?pause=250 wait for that many
// milliseconds between reading and writing, so that requests overlap; /body?conflict=2 makes the
// first two attempts fail as if they had met a conflict. The header field Pasteline-Attempt of an
// answer holds the number of the attempt that made it.
//
// # Caveats
//
// Handlers are run again after a conflict, so they must have no effects outside of their
// transaction. The transaction of /events ends when it sends its first byte; each later event is
// read in a separate transaction.
package myapp
