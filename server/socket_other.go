//go:build !unix

package server

import (
	"io/fs"
	"syscall"
)

// restrictSocket does nothing: here, the folder's permissions are those of a socket.
func restrictSocket(fs.FileMode) func(network, address string, c syscall.RawConn) error { return nil }

// bindAlone is nil: here an address is tried by listening for a moment.
var bindAlone func(network, address string, c syscall.RawConn) error
