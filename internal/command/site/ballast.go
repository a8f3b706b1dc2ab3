package site

import (
	"math"
	"os"
	"runtime/metrics"
	"strings"
)

// ballastSize is the least amount of memory that a server allocates between two garbage
// collections. With half of it the collector takes twice as much of each request; twice as much
// hardly saves time.
const ballastSize = 16 << 20

// newBallast allocates GC ballast: memory that a server keeps and never touches. It costs no
// physical memory, but counts toward the heap size, so that the collector runs less often while the
// heap is small. It adds the same amount to every heap, whereas a high GOGC would multiply a large
// one.
//
// It returns nil if the collector has been configured.
func newBallast() *strings.Builder {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	// A program can also configure it with package debug.
	settings := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(settings)
	if settings[0].Value.Uint64() != 100 || settings[1].Value.Uint64() != math.MaxInt64 {
		return nil
	}
	// A Builder does not clear the memory that it grows by. The function make does, and so touches
	// it, if a part was used before.
	ballast := new(strings.Builder)
	ballast.Grow(ballastSize)
	return ballast
}
