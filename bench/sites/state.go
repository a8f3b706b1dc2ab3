package sites

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
)

// A State is the resources that the process of a site uses: GET /state.
type State struct {
	Memory      int // resident, in bytes
	HeapGoal    int // the heap size at which the garbage collector runs, in bytes
	Goroutines  int
	Descriptors int
}

// ReadState returns the resources that the process uses now.
func ReadState() (State, error) {
	s := State{Goroutines: runtime.NumGoroutine()}
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	s.HeapGoal = int(goal[0].Value.Uint64()) //nolint:gosec // no heap is so large
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
