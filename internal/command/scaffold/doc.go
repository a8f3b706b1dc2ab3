// Package scaffold creates the files of a new project: a Go module with an app and a filter, .ini
// files that compose them, and a test.
//
//	files, err := scaffold.New(scaffold.Config{Dir: "guestbook", Version: "v1.2.0"})
//
// # Caveats
//
// Existing files are not overwritten: if one of the files exists, none is written. A project that
// requires a published version needs "go mod tidy" once, to download it; one that uses a source
// folder builds at once.
package scaffold
