// Package testserver runs the servers that tests need, from the programs that are installed, for packages that know one kind
// of server each, such as pgtest.
//
// A [Home] is a folder with a server in it. Nothing of it outlives the test process, however that ends: by itself, by a panic,
// by the time limit of go test or by kill -9. A watchdog sees to it, a shell which waits until the other end of a pipe is closed,
// as only the end of the test process can do it, and then ends the server and removes the folder. So tests need no TestMain.
//
// Servers refuse to run as root. Where the tests do, in a container for instance, the server gets an account without rights.
//
// It works on Unix systems; elsewhere tests that need a server are skipped.
package testserver
