//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd && !windows

package terminal

// isTerminal does not know this system.
func isTerminal(uintptr) bool { return false }
