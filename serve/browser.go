package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
)

// openBrowser has the desktop open the first address that a browser can, and does not wait for it.
func openBrowser(ctx context.Context, addrs []net.Addr) error {
	for _, addr := range addrs {
		url, ok := localURL(addr)
		if !ok {
			if addr.Network() != "tcp" {
				continue // a socket in the file system
			}
			url = urlOf(addr)
		}
		name, args := browserCommand(runtime.GOOS, url)
		run := exec.CommandContext(context.WithoutCancel(ctx), name, args...) //nolint:gosec // the address is the server's own
		if err := run.Start(); err != nil {
			return fmt.Errorf("%w; open %s", err, url)
		}
		go run.Wait() //nolint:errcheck // the process is the desktop's; this only lets the system forget it
		return nil
	}
	return errors.New("there is no address that a browser can open")
}

// browserCommand is what opens a URL on a system.
func browserCommand(system, url string) (name string, args []string) {
	switch system {
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler", url}
	case "darwin":
		return "open", []string{url}
	default:
		return "xdg-open", []string{url}
	}
}
