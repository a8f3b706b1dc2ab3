//go:build !unix

package server

import (
	"io/fs"
	"syscall"
)

// restrictSocket does nothing: on this system the folder's permissions protect a socket.
func restrictSocket(fs.FileMode) func(network, address string,
	c syscall.RawConn) error {
	return nil
}

// bindAlone is nil: on this system an address is checked by listening for a moment.
var bindAlone func(network, address string, c syscall.RawConn) error
