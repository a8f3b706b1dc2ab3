package systemd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonicTime tells systemd when the reload began, by the clock of the same name: a unit of
// Type=notify-reload ignores a RELOADING=1 that is older than its signal.
func monotonicTime() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)
}
