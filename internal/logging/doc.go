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
// the levels, qualname and propagate, and handlers that write to the standard streams or to files have the meaning
// that they have there. A qualname stands for the sections of that name, for those whose use or factory is of that distribution or
// module, and for what is below either of them: app is also app.views. Lines are JSON if a formatter plainly says so,
// and else slog's text. Everything else has no meaning here: it is never a reason to fail, and is noted in the log once.
//
// # Caveats
//
// Only the file that a program is started with is asked, not those that it includes. Their sections may be named all the same;
// whether they are there is not known, so their names are not checked.
//
// A file is always appended to, whatever mode a handler of Python's asks for, and none is rotated by its size or age: to rotate,
// rename it and reload; the files are opened anew also when the load fails. What goes to a standard stream goes where the program was
// started with. A line that can't be written to its file, because the disk is full, goes to the standard error.
package logging
