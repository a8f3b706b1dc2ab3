//go:build !linux

package testserver

// Memory returns the parent folder for a server that does not wait for the disk.
func Memory() string { return "" }
