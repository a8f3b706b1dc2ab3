package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The variables that describe the passed sockets, which are the files from firstFD on.
const (
	listenFDs     = "LISTEN_FDS"
	listenPID     = "LISTEN_PID"
	listenFDNames = "LISTEN_FDNAMES"
	firstFD       = 3
)

// SocketNames returns the name of each socket that systemd passed to this process: the
// FileDescriptorName= of its unit, or "". It returns nil if systemd passed none.
func SocketNames() []string {
	n, err := strconv.Atoi(os.Getenv(listenFDs))
	if err != nil || n <= 0 || n > 1<<10 || os.Getenv(listenPID) != strconv.Itoa(os.Getpid()) {
		return nil
	}
	names := make([]string, n)
	copy(names, strings.Split(os.Getenv(listenFDNames), ":"))
	return names
}

// Listeners returns the passed sockets of that name, or all of them if name is "". Each socket can
// be used once: it is closed in this process with its listener. After an error nothing is open.
func Listeners(name string) ([]net.Listener, error) {
	names := SocketNames()
	if names == nil {
		pid := os.Getenv(listenPID)
		if own := strconv.Itoa(os.Getpid()); os.Getenv(listenFDs) != "" && pid != "" && pid != own {
			return nil, fmt.Errorf("systemd has passed its sockets to process %s, and this is %s: "+
				"start the program by exec, without a shell around it", pid, own)
		}
		return nil, errors.New("systemd has passed no socket: start the service by its .socket " +
			"unit, or write host:port")
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
			return nil, fmt.Errorf("what systemd has passed as number %d is no stream socket "+
				"that listens: %w", firstFD+i, err)
		}
		listeners = append(listeners, l)
	}
	if listeners == nil {
		return nil, noneOfThatName(names)
	}
	return listeners, nil
}

// CheckListeners returns the errors of Listeners that can be detected without opening the sockets.
func CheckListeners(name string) error {
	names := SocketNames()
	if names != nil && name != "" && !slices.Contains(names, name) {
		return noneOfThatName(names)
	}
	return nil
}

func noneOfThatName(names []string) error {
	return fmt.Errorf("systemd has passed no socket of that name (FileDescriptorName=), but %s; "+
		"write one of those names, or systemd alone for all", listNames(names))
}

// listNames lists the names of sockets, and counts those that have none.
func listNames(names []string) string {
	named := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	switch unnamed := len(names) - len(named); unnamed {
	case 0:
	case 1:
		named = append(named, "one without a name")
	default:
		named = append(named, strconv.Itoa(unnamed)+" without a name")
	}
	return strings.Join(named, ", ")
}

// inherit returns a listener for an inherited file and closes the file. The listener has a copy
// that child processes do not inherit.
func inherit(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "systemd")
	l, err := net.FileListener(f)
	_ = f.Close() // nothing was written
	return l, err
}
