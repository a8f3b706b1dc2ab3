// Package myapp is the tutorial's application: an app with sessions and a database, behind browserid, retry and tm.
//
//	[app:myapp]
//	use = egg:myapp#app
//	zodb_uri = bolt://%(here)s/data.db
//
// [Register] adds it to a registry as "egg:myapp#app"; its [Settings] are the keys of the section. To start a program
// of your own, read myapp.go and programs.go: they have all that an app needs. The rest is the page that people see.
//
// People get a page with their session, a guest book, and two buttons that make requests race. Programs get
//
//	GET  /hello        a greeting, without session and database
//	GET  /read         the session's n as text
//	POST /incr         adds one to the session's n, and answers it
//	POST /fail         adds one, then answers 500: leaves no trace
//	GET  /shared       a counter that all visitors share
//	POST /shared/incr  adds one to it, and answers it
//	GET  /events       server-sent events: the shared counter, four times a second
//	POST /body         the SHA-256 of the body, and the number of the attempt that answers
//
// What a conflict does can be tried out with parameters: /incr?pause=250 and /shared/incr?pause=250 wait for that many
// milliseconds between reading and writing, so that requests meet; /body?conflict=2 makes the first two attempts fail
// as if they had lost a race. The header Pasteline-Attempt says how many attempts an answer took.
//
// # Caveats
//
// Handlers run again when they lose a race, so they do nothing besides their transaction. /events is decided when it
// sends its first byte; what it shows later comes from transactions of its own.
package myapp
