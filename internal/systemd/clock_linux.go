package systemd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonicTime returns the assignment that dates a reload by CLOCK_MONOTONIC: systemd ignores a
// RELOADING=1 of a unit of Type=notify-reload that is older than its signal.
func monotonicTime() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)
}
