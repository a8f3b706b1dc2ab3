//go:build linux && !race

package site_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/command/site"
)

// resident is how much memory the process has of the machine.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// What the collector counts takes no memory from the machine, also where the heap has had something
// else before. (The race detector keeps a record of all memory, and so uses it.)
func TestBallastUsesNoMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	used := make([]byte, site.BallastSize/2)
	for i := range used {
		used[i] = 1
	}
	runtime.KeepAlive(used)
	runtime.GC() // what is free now is the machine's still, and ends where nothing was used so far
	before := resident(t)
	ballast := site.NewBallast()
	if took := resident(t) - before; took > site.BallastSize/8 {
		t.Errorf("it takes %d bytes, want next to none", took)
	}
	runtime.KeepAlive(ballast)
}
