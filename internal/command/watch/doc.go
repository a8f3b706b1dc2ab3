// Package watch builds a program of Go, runs it, and builds and restarts it when its Go files
// change.
//
//	err := watch.Run(ctx, watch.Options{Package: "./cmd/shop", Args: []string{"development.ini"}})
//
// The files are those of all packages of the program that are in a module on this machine: the main
// module, those of a workspace, and those that a replace directive takes from a folder. They are
// polled. While a build fails, the program of the last successful build keeps running, and the
// errors of the compiler are printed. If the program ends, Run waits for the next change.
//
// # Caveats
//
// The old process ends before the new one starts, since many databases can be opened by one process
// only. In between, for as long as running requests need and the start takes, new connections to its
// TCP sockets wait in the queues of the sockets, which stay open. If the program ends without a
// change, connections are refused. Embedded files and tests are not watched. On Windows, which has no signals, the program is killed.
package watch
