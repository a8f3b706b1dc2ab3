// Package serve is the command serve as a library, for programs with their own apps and filters.
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
// and it is used like the command: guestbook site.ini. The standard filters, servers and kinds of
// databases are registered already.
//
// [Main] is for func main; [Run] takes arguments and streams as parameters, for tests.
//
// # Logging
//
// The log goes to the standard error. A section of the .ini file can change that:
//
//	[logging]
//	level = info                 debug, info, warn or error
//	format = auto                auto (console on a terminal, else text), console, text or json
//	output = stderr              stderr, stdout, or a file to append to, below the .ini file's folder
//	level.browserid = debug      the level of one section
//	level.server.main = warn     of one of several with that name, with a dot for the colon
//
// Without this section, the sections [loggers], [handlers] and [formatters] are read, which every
// .ini file of Pyramid has, as far as they have a meaning here: levels, streams and files, and as
// qualname the name of a section, or of the distribution in its use setting. A reload reads them
// again and reopens the log files, so that they can be rotated by renaming.
//
// A factory logs to [pipeline.Build.Logger]; its lines have the name of the section in the
// attribute section.
//
// # Reloading
//
// On SIGHUP, and with --reload when a file has changed, the file and its includes are loaded again:
// a new registry, a new server that is only inspected, and a new pipeline beside the running one.
// If there is an error, each is logged, the new objects are closed, and nothing changes. Otherwise
// one pointer is exchanged. A request is answered by the pipeline that was the newest when it
// arrived; a replaced pipeline is closed after its last request. If a request runs longer than
// --reload-grace, its context is cancelled, which ends a stream properly; nothing is closed while a
// request uses it.
//
// A database that both pipelines name is opened once, and stays open. An app must share any other
// exclusive resource with its successor, since two of them exist for a while. Changes in the
// [server:] section need a restart, and are logged with their position; certificates are reloaded
// when their files change. --reload compares the files of the load by time, size and content, every
// --reload-interval, and waits until they are no longer written to. With --watch,
// a process builds the program, runs it with --reload, and builds and restarts it when its Go files
// change.
//
// # Systemd
//
// A server that systemd starts as a service of Type=notify or Type=notify-reload reports when it
// listens, each reload with its result, and when it shuts down. systemctl status shows where it
// serves, and why the last reload failed. With WatchdogSec= it notifies the watchdog twice in that
// time. That means that the process runs and that its server has not ended. It does not mean that
// databases answer: a restart would not help, and a site without its database answers 503 until the
// database is back. A report that can't be sent causes a warning in the log. The sockets of a
// socket unit are used if the file says listen = systemd.
//
// # Memory
//
// While a server runs, the heap includes 16 MB that are never touched, and so use no memory. They
// delay the garbage collector, which would run very often with the small heap of a small site; a
// large heap grows by 16 MB and no further. They are left out if GOGC or GOMEMLIMIT is set in the
// environment, or by package debug before. The effect on requests and memory is measured in
// docs/speed.md.
//
// # Caveats
//
// Main is the only function that ends the process or handles signals. A first SIGINT or SIGTERM
// stops accepting, lets running requests finish, and closes the resources of the pipeline in
// reverse order; a second one ends the process at once. Acknowledged data is durable in either
// case. SIGHUP reloads; if the terminal was closed, it ends the process as SIGTERM does, unless the
// process was started with nohup. Goroutines that a handler leaves behind when it returns are not
// waited for.
//
// Apps are created before filters, as in PasteDeploy. So a start that fails, for example for a
// missing secret, can leave a new and empty database file behind; the check command leaves nothing.
package serve
