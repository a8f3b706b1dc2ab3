//go:build !linux

package systemd

// monotonicTime returns nothing: systemd is for Linux.
func monotonicTime() string { return "" }
