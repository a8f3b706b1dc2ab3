// Package logging opens the log that an .ini file configures: its destinations, its format, and a
// level for each section.
//
//	log, err := logging.Open("site.ini", logging.Options{Stderr: os.Stderr, Stdout: os.Stdout})
//	…
//	defer log.Close()
//	pipeline.Load(ctx, "site.ini", pipeline.Options{Logger: log.Logger(), …})
//
// A Log has one [log/slog.Logger], which stays valid while [Log.Reload] reads the file again,
// changes the levels and reopens the log files, so that they can be rotated. [Log.Reopen] only
// reopens them, without reading the .ini file.
//
// # The section [logging]
//
//	[logging]
//	level = info                 debug, info, warn or error
//	format = auto                auto, console, text or json
//	output = logs/site.log       stderr, stdout, or a file to append to
//	level.browserid = debug      the level of one section
//	level.server.main = warn     of one of several with that name, with a dot for the colon
//
// The format console is for people: the time of day, the level, the message and the attributes, with
// the attribute stack below the line. On a terminal it has colours, unless NO_COLOR is set or TERM
// is dumb, and no text of a request can control the terminal. The format auto, which is the default,
// is console on a terminal, and text, that of slog's TextHandler, elsewhere.
//
// A relative path starts at the folder of the .ini file. The lines of a section are those whose
// attribute section has its name; the logger of [pipeline.Build] sets it.
//
// # Python's sections
//
// Without a section [logging], the sections of Python's logging.config.fileConfig are read, which
// every .ini file of Pyramid has: [loggers], [handlers] and [formatters], and [logger_x],
// [handler_x] and [formatter_x] for each of their keys. The levels, qualname, propagate, and the
// handlers below have their meaning in Python. A qualname selects the sections of that name, the
// sections whose use or factory is of that distribution or module, and the names below either of
// them: app includes app.views. The qualname exc_logger, of pyramid_exclog, selects the failures of
// requests, which are logged as errors. Lines are JSON if a formatter clearly says so, and else
// of the format auto.
//
//	StreamHandler                sys.stderr or sys.stdout
//	FileHandler                  appends to a file, whatever its mode
//	WatchedFileHandler           the same, and reopens a file that was moved
//	RotatingFileHandler          rotates before maxBytes: site.log.1 is the newest of backupCount
//	TimedRotatingFileHandler     rotates at a time: site.log.2026-11-29, as in Python 3.13
//	SysLogHandler                sends lines to a syslog: over a unix socket, UDP or TCP
//	NullHandler                  writes nothing
//
// Their args and kwargs may be literals, arithmetic and os.path.join. Any other handler, and any
// setting that has another effect than in Python, causes a warning, when the log is opened and from
// [Check]; a setting that can be ignored without loss is noted at level debug. The only error is a
// file that can't be opened, for example because its folder is missing.
//
// # Caveats
//
// Only the file that a program is started with is read, not its includes. Names of their sections
// are allowed, but not checked.
//
// A file that several handlers name is opened once, and rotated as the first of them that rotates
// it says. A file that several programs rotate at the same time loses lines, as in Python. A file
// may be renamed by another program before a reload; the files are reopened even if the load fails.
// A line that can't be written, because the disk is full or no syslog answers, goes to the standard
// error; a file that can't be rotated is still written to, and the rotation is tried again after a
// minute. Both are logged once. UDP and TCP can lose lines.
package logging
