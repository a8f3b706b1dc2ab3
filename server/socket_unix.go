//go:build unix

package server

import (
	"io/fs"
	"syscall"
)

// restrictSocket gives a unix socket its permissions before it has a name, where the system allows that (Linux does).
// Elsewhere it has those of the process's umask for a moment.
func restrictSocket(perms fs.FileMode) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.Fchmod(int(fd), uint32(perms.Perm()))
		})
	}
}
