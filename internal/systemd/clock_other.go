//go:build !linux

package systemd

// monotonicTime returns no assignment: systemd is for Linux.
func monotonicTime() string { return "" }
