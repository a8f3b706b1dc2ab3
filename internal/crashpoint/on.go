//go:build crashpoints

package crashpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

var (
	place string
	left  atomic.Int64
)

func init() { //nolint:gochecknoinits // there is no main that could: this is only in test builds
	text := os.Getenv("PASTELINE_CRASH")
	name, number, ok := strings.Cut(text, ":")
	n := 1
	if ok {
		var err error
		if n, err = strconv.Atoi(number); err != nil || n < 1 {
			panic("PASTELINE_CRASH=" + text + ": want a place, or place:number")
		}
	}
	place = name
	left.Store(int64(n))
}

// Here ends the process if the environment says so. It does not return then.
func Here(name string) {
	if name != place || left.Add(-1) != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	if err := self.Kill(); err != nil {
		panic(err)
	}
	select {}
}
