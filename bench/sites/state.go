package sites

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// A State is what the process of a site has in use: GET /state.
type State struct {
	Memory      int // resident, in bytes
	Goroutines  int
	Descriptors int
}

// ReadState returns what the process has in use now.
func ReadState() (State, error) {
	s := State{Goroutines: runtime.NumGoroutine()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &s.Memory); err == nil {
			s.Memory <<= 10
			break
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	s.Descriptors = len(open) - 1 // the folder itself
	return s, err
}
