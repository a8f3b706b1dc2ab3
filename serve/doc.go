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
// The log goes to the standard error. A section of the .ini file can say otherwise:
//
//	[logging]
//	level = info                 debug, info, warn or error
//	format = text                text or json
//	output = stderr              stderr, stdout, or a file, from the folder of the .ini on; it is appended to
//	level.browserid = debug      the level of one section
//	level.server.main = warn     of one of several with that name: a dot for the colon, which would end the key
//
// Where there is none, the sections [loggers], [handlers] and [formatters] are read which every .ini file of Pyramid has, as far
// as they have a meaning here: levels, streams and files, and as qualname the name of a section, or of the distribution that its
// use names. A reload reads it all anew, and opens the files again, so that they can be rotated by renaming them.
//
// What a factory logs to is [pipeline.Build.Logger]; its lines have the section's name in the attribute section.
//
// # Reloading
//
// On SIGHUP, and with --reload when a file has changed, the file and all that it includes are loaded anew: a new registry, a new
// server that is only looked at, a new pipeline, beside the one that runs. If there is any fault, each is a line of the log, what
// was made is closed again, and nothing changes. Else one pointer is exchanged. A request is answered by the pipeline that was
// the newest when it came; a pipeline that has been replaced is closed with its last request. One that runs for longer than
// --reload-grace has its context cancelled, which ends a stream properly; nothing is closed under its hands.
//
// A database that both pipelines name is open once, and stays open. Whatever else only one can have, an app must share with
// itself, since for a while there are two of it. What has changed in the [server:] section takes a restart, and is logged, with its
// position; certificates are read anew when their files change. --reload compares what the load has read, by time, size and
// content, every --reload-interval, and waits until nobody writes any more. Go code is compiled: it takes a rebuild.
//
// # Systemd
//
// A server that systemd starts as a service of Type=notify or Type=notify-reload reports when it listens, each reload with its
// result, and when it shuts down. systemctl status shows where it serves, and why the last reload failed. With WatchdogSec= it gives a
// sign of life twice in that time. The sign says that the process runs and that its server has not ended; it does not say that
// databases answer, since a restart mends none, and a site without its database answers 503 until the database is back. A report
// that can't be sent is a warning in the log. The sockets of a socket unit are used where the file says listen = systemd.
//
// # Memory
//
// While a server runs, the garbage collector counts 16 MB that are never touched: so the heap of a small site may have 32 MB
// before it is collected, instead of 4, and a request costs a tenth less. Idle, a site takes 17 MB of memory as without it,
// under load some 45 MB instead of 28; a large heap grows by 16 MB and no further. With GOGC or GOMEMLIMIT in the environment, or set
// by package debug before, there is nothing of this.
//
// # Caveats
//
// Main is the only function that ends the process or looks for signals. A first SIGINT or SIGTERM stops accepting, lets
// running requests finish, and closes what the pipeline opened, in reverse order; a second one ends the process at once.
// What was acknowledged is durable in either case. SIGHUP reloads; when it comes because the terminal has been closed, it ends the
// process as SIGTERM does, unless the process was started with nohup. A handler that goes on in goroutines of its own, after it has
// returned, is not waited for.
//
// Apps are made before filters, as PasteDeploy does it. So a start that fails, for want of a secret say, can leave a new and empty
// database file behind; the check command leaves nothing.
package serve
