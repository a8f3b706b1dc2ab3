//go:build unix

package server

import (
	"cmp"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// restrictSocket sets the permissions of a unix socket before it has a name, where the system
// allows that (Linux does). Elsewhere the socket has those of the process's umask for a moment.
func restrictSocket(perms fs.FileMode) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.Fchmod(int(fd), uint32(perms.Perm()))
		})
	}
}

// bindAlone binds a socket that Go is about to bind and listen on, and aborts that. With the
// options that Go sets for a listener, this does not keep another process from listening there at
// the same moment.
func bindAlone(network, address string, c syscall.RawConn) error {
	sockaddr, err := sockaddrOf(network, address)
	if err != nil {
		return err
	}
	bound := errBound
	err = c.Control(func(fd uintptr) {
		if err := syscall.Bind(int(fd), sockaddr); err != nil {
			bound = os.NewSyscallError("bind", err)
		}
	})
	return cmp.Or(err, bound)
}

func sockaddrOf(network, address string) (syscall.Sockaddr, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "::"
		if network == "tcp4" {
			host = "0.0.0.0"
		}
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return nil, err
	case network == "tcp4":
		return &syscall.SockaddrInet4{Port: port, Addr: addr.Unmap().As4()}, nil
	}
	zone := uint32(0)
	if addr.Zone() != "" {
		i, err := net.InterfaceByName(addr.Zone())
		if err != nil {
			return nil, err
		}
		zone = uint32(i.Index) //nolint:gosec // a small number
	}
	return &syscall.SockaddrInet6{Port: port, Addr: addr.As16(), ZoneId: zone}, nil
}
