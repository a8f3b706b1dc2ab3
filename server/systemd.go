package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
)

// systemd passes sockets to a service as files from number 3 on, and says how many, to whom, and their names.
const (
	listenFDs     = "LISTEN_FDS"
	listenPID     = "LISTEN_PID"
	listenFDNames = "LISTEN_FDNAMES"
	firstFD       = 3
)

// passedNames returns the names of the sockets that this process was given, nil if it was given none.
func passedNames() []string {
	n, err := strconv.Atoi(os.Getenv(listenFDs))
	if err != nil || n <= 0 || n > 1<<10 || os.Getenv(listenPID) != strconv.Itoa(os.Getpid()) {
		return nil
	}
	names := make([]string, n)
	copy(names, strings.Split(os.Getenv(listenFDNames), ":"))
	return names
}

// fromSystemd returns the sockets of that name, or all of them.
func fromSystemd(name string) ([]net.Listener, error) {
	names := passedNames()
	if names == nil {
		return nil, errors.New("systemd has passed no socket: start the service by its .socket unit, or write host:port")
	}
	var listeners []net.Listener
	for i, passed := range names {
		if name != "" && name != passed {
			continue
		}
		l, err := inherit(firstFD + i)
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return nil, fmt.Errorf("what systemd has passed as number %d is no stream socket that listens: %w", firstFD+i, err)
		}
		listeners = append(listeners, l)
	}
	if listeners == nil {
		return nil, fmt.Errorf("systemd has passed no socket of that name (FileDescriptorName=), but %s", strings.Join(names, ", "))
	}
	return listeners, nil
}

// inherit makes a listener of an inherited file, which is closed: the listener has one of its own, and processes that are
// started from here get neither.
func inherit(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "systemd")
	l, err := net.FileListener(f)
	_ = f.Close() // nothing was written to it
	return l, err
}

// warnSystemd says that sockets were passed and not used. To use them unasked would let something outside of the file
// decide where the server listens.
func (s *Server) warnSystemd() {
	for _, a := range s.addresses {
		if a.kind == kindSystemd {
			return
		}
	}
	if names := passedNames(); names != nil {
		s.logger.Warn("systemd has passed sockets that are not used: write listen = systemd", slog.Int("sockets", len(names)))
	}
}
