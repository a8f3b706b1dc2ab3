// Package serve is the command serve as a library, for programs with apps and filters of their own.
//
// The whole of such a program is
//
//	package main
//
//	import (
//		"example.org/acme/guestbook"
//		"github.com/pasteline/pasteline/serve"
//	)
//
//	func main() { serve.Main(guestbook.Register) }
//
// and it is used as the command is: guestbook site.ini. The standard filters, servers and kinds of databases are
// registered already.
//
// [Main] is for func main; [Run] takes all that comes from outside as arguments, and so is what tests use.
//
// # Logging
//
// The log goes to the standard error. A section of the .ini file says how:
//
//	[logging]
//	level = info      debug, info, warn or error
//	format = text     text or json
//
// # Caveats
//
// Main is the only function that ends the process or looks for signals. A first SIGINT or SIGTERM stops accepting, lets
// running requests finish, and closes what the pipeline opened, in reverse order; a second one ends the process at once.
// What was acknowledged is durable in either case.
package serve
