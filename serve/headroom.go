package serve

import (
	"math"
	"os"
	"runtime/metrics"
	"strings"
)

// headroomSize is how much a server may allocate, at least, between two runs of the garbage collector. With half of it the
// collector takes twice as much of each request; with twice as much, 16 MB more are in use under load for a microsecond less.
const headroomSize = 16 << 20

// headroom returns memory that is to be kept while a server runs. It is never touched, so it takes none from the machine, but
// the collector counts it, and waits until the heap with it has doubled. A small site has 1 MB that lives: without headroom the
// collector runs after every 400 requests, with it after 3,100, and takes a sixth of the processor time. It adds the same to
// every heap, where GOGC=400 would let one of 1 GB grow to 5 GB.
//
// It returns nil, and all is as Go has it, if the collector was told what to do.
func headroom() *strings.Builder {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	// A program can also say it by itself, with package debug.
	settings := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(settings)
	if settings[0].Value.Uint64() != 100 || settings[1].Value.Uint64() != math.MaxInt64 {
		return nil
	}
	// A Builder does not clear what it grows by. The function make does, and so touches it all, where a part was used before.
	room := new(strings.Builder)
	room.Grow(headroomSize)
	return room
}
