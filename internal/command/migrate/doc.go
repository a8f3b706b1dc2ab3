// Package migrate converts the .ini file of a Python program: it finds the parts that work here,
// and creates a project that serves a copy of the file, with stubs for the parts that have to be
// written in Go.
//
//	plan, err := migrate.Read(ctx, "production.ini", migrate.Options{Standard: serve.Standard})
//	plan.Report(os.Stdout)
//	files, err := plan.Write(scaffold.Config{Dir: "site", Version: "v1.2.0"})
//
// # Conversion of names
//
// A registered name works as it is. Any other app, composite or filter becomes a stub that answers
// 501; a filter too, because one that let requests pass might be the one that checks log-ins. A
// filter that is needed in Python only lets requests pass. A server becomes egg:Paste#http. A
// composite factory with the name urlmap_factory whose settings are all paths becomes
// egg:Paste#urlmap.
//
// # Conversion of files
//
// The old files are only read. The copies have the same lines at the same numbers: a line that
// can't stay becomes a comment that begins with "# (migrate)", or gets another value; missing parts
// are added at the end. [Read] loads the copies in a temporary folder, with the stubs and without
// databases, to verify that the project of a [Plan] starts.
package migrate
