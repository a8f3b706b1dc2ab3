package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"

	"github.com/pasteline/pasteline/internal/command/site"
)

// openBrowser opens the first suitable address in the desktop's browser, without waiting for it.
func openBrowser(ctx context.Context, addrs []net.Addr) error {
	for _, addr := range addrs {
		url, ok := localURL(addr)
		if !ok {
			if addr.Network() != "tcp" {
				continue // a unix socket
			}
			url = site.URL(addr)
		}
		name, args := browserCommand(runtime.GOOS, url)
		//nolint:gosec // the address is the server's own
		run := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
		if err := run.Start(); err != nil {
			return fmt.Errorf("%w; open %s", err, url)
		}
		go func() { _ = run.Wait() }() // reaps the process
		return nil
	}
	return errors.New("there is no address that a browser can open")
}

// browserCommand returns the command that opens a URL.
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
