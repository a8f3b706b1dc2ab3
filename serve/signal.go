package serve

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload returns a channel that receives for each SIGHUP from now on. A SIGHUP caused by a
// closing terminal calls end instead.
func notifyReload(end func()) <-chan struct{} {
	inTerminal := !signal.Ignored(syscall.SIGHUP) && hasTerminal() // nohup ignores SIGHUP
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	requested := make(chan struct{}, 1)
	go func() {
		for range signals {
			if inTerminal && !hasTerminal() {
				end()
				continue
			}
			select {
			case requested <- struct{}{}:
			default: // the pending request covers this one
			}
		}
	}()
	return requested
}

// hasTerminal reports whether the process has an open terminal.
func hasTerminal() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = terminal.Close()
	return true
}
