package sites

import "strings"

// ballastSize is the size of the GC ballast of serve.
const ballastSize = 16 << 20

// Ballast allocates the GC ballast that serve has: memory that is never touched, but counts toward
// the heap, so that the garbage collector runs as seldom in every contender. The caller keeps it
// alive with [runtime.KeepAlive].
func Ballast() *strings.Builder {
	ballast := new(strings.Builder)
	ballast.Grow(ballastSize)
	return ballast
}
