package systemd_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/systemd"
)

// A process that systemd has not started has nothing to report to.
func Example() {
	n, err := systemd.NewNotifier(func(string) string { return "" })
	fmt.Println(n == nil, err, n.Ready("serving"), n.Interval())
	// Output: true <nil> <nil> 0s
}
