// Package logging logs as an .ini file says: where to, in which format, and from which level on, for each section.
//
//	log, err := logging.Open("site.ini", logging.Options{Stderr: os.Stderr, Stdout: os.Stdout})
//	…
//	defer log.Close()
//	pipeline.Load(ctx, "site.ini", pipeline.Options{Logger: log.Logger(), …})
//
// There is one [log/slog.Logger]. It stays valid while [Log.Reload] reads the file anew, changes the levels and opens the log
// files again, which is how they are rotated. [Log.Reopen] only opens them again, whatever the file has come to say.
//
// # The section [logging]
//
//	[logging]
//	level = info                 debug, info, warn or error
//	format = text                text or json
//	output = logs/site.log       stderr, stdout, or a file; it is appended to
//	level.browserid = debug      the level of one section
//	level.server.main = warn     of one of several with that name: a dot for the colon, which would end the key
//
// A relative path begins at the folder of the .ini file. The lines of a section are those with its name in the attribute
// section, which the logger of [pipeline.Build] has.
//
// # Python's sections
//
// Where there is no [logging], the sections of Python's logging.config.fileConfig are read, which every .ini file of Pyramid
// has: [loggers], [handlers] and [formatters], and [logger_x], [handler_x] and [formatter_x] for each of their keys. Of these,
// the levels, qualname and propagate, and the handlers below have the meaning that they have there. A qualname stands for the
// sections of that name, for those whose use or factory is of that distribution or module, and for what is below either of them:
// app is also app.views. The qualname exc_logger, of pyramid_exclog, stands for the failures of requests, which are logged as errors. Lines are
// JSON if a formatter plainly says so, and else slog's text.
//
//	StreamHandler                sys.stderr or sys.stdout
//	FileHandler                  appends to a file, whatever its mode
//	WatchedFileHandler           and opens it again when it has been moved
//	RotatingFileHandler          and puts it aside before it has maxBytes: site.log.1 is the newest of backupCount
//	TimedRotatingFileHandler     and puts it aside at a time: site.log.2026-11-29, as Python 3.13 computes it
//	SysLogHandler                sends lines to a syslog: over a unix socket, UDP or TCP
//	NullHandler                  writes nothing
//
// Their args and kwargs may be literals, arithmetic and os.path.join. Every other handler, and what else does not do what it
// says, is a warning, when the log is opened and of [Check]; what is without effect and no loss is noted at the level debug. Only
// a file that can't be opened is a fault, for instance because its folder is missing.
//
// # Caveats
//
// Only the file that a program is started with is asked, not those that it includes. Their sections may be named all the same;
// whether they are there is not known, so their names are not checked.
//
// One file that several handlers name is opened once, and rotated as the first of them says that rotates it. One that several
// programs rotate loses lines when they do it at the same moment, as in Python. A file may be renamed from outside, and reloaded;
// the files are opened anew also when the load fails. A line that can't be written, because the disk is full or no syslog answers,
// goes to the standard error; a file that can't be put aside is written on, and tried again after a minute. Either is logged once.
// What goes to a standard stream goes where the program was started with. UDP and TCP lose lines by nature.
package logging
