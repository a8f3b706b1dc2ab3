// Package migrate reads the .ini file of a program in Python, works out what of it works here, and makes a project that serves
// a copy of it, with stubs for what has to be written in Go.
//
//	plan, err := migrate.Read(ctx, "production.ini", migrate.Options{Standard: serve.Standard})
//	plan.Report(os.Stdout)
//	files, err := plan.Write(scaffold.Config{Dir: "site", Version: "v1.2.0"})
//
// # What becomes of a name
//
// A name that is registered works as it is. An app, a composite or a filter that is not becomes a stub which answers 501: a
// filter too, since one that let requests pass might be what checked log-ins. A filter that only a program in Python needs lets
// them pass. A server becomes egg:Paste#http. A composite factory that is called urlmap_factory, and has paths alone for
// settings, is taken for egg:Paste#urlmap.
//
// # What becomes of the file
//
// The old files are only read. The copies have the same lines at the same numbers: a line that can't stay becomes a comment that
// begins with "# (migrate)", or gets another value, and what is missing is added at the end. [Read] loads the copies in a
// temporary folder, with the stubs and with no database, so that a [Plan] is known to start.
package migrate
