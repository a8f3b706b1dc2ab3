// Package testserver runs installed database servers for tests. Packages for one kind of server,
// such as pgtest, are built on it.
//
//	home, err := testserver.NewHome("", "postgres")
//	err = home.Run("initdb", "-D", "data")
//	process, err := home.Start("ready to accept connections", "postgres", "-D", "data")
//
// A [Home] is a folder with a server. Neither outlives the test process, even if that panics,
// exceeds the time limit of go test or is killed: a watchdog, a shell process, waits until the
// other end of a pipe is closed, which only the end of the test process does, and then ends the
// server and removes the folder. So tests need no TestMain.
//
// Servers refuse to run as root. If the tests run as root, for example in a container, the server
// runs under an account without privileges.
//
// It works on Unix systems; elsewhere tests that need a server are skipped.
package testserver
