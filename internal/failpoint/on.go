//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A plan says at which call of Here for a place the program acts.
type plan struct {
	place string
	left  atomic.Int64 // the calls until then
}

// planned returns the plan in an environment variable. The name of a place may have a colon, but no
// number behind it.
func planned(variable string) *plan {
	v := &plan{place: os.Getenv(variable)}
	n := 1
	if i := strings.LastIndexByte(v.place, ':'); i >= 0 {
		if number, err := strconv.Atoi(v.place[i+1:]); err == nil {
			if number < 1 {
				panic(variable + "=" + v.place + ": want a place, or place:number, from 1")
			}
			v.place, n = v.place[:i], number
		}
	}
	v.left.Store(int64(n))
	return v
}

// reached counts a call, and returns the number of calls that are left; ok is false for other
// places.
func (v *plan) reached(name string) (left int64, ok bool) {
	if v.place == "" || v.place != name {
		return 0, false
	}
	return v.left.Add(-1), true
}

var crash, pause = planned("PASTELINE_CRASH"), planned("PASTELINE_PAUSE")

// The files of a pause; only one goroutine pauses at a time. Without PASTELINE_PAUSE the
// descriptors may belong to other files.
var (
	pausing        sync.Mutex
	paused, resume = func() (paused, resume *os.File) {
		if pause.place == "" {
			return nil, nil
		}
		return os.NewFile(3, "PASTELINE_PAUSE: paused"), os.NewFile(4, "PASTELINE_PAUSE: resume")
	}()
)

// Here kills the process, or pauses, as the environment says.
func Here(name string) {
	if left, ok := crash.reached(name); ok && left == 0 {
		die()
	}
	if left, ok := pause.reached(name); ok && left <= 0 {
		wait(name)
	}
}

func die() {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	if err := self.Kill(); err != nil {
		panic(err)
	}
	select {}
}

func wait(name string) {
	pausing.Lock()
	defer pausing.Unlock()
	if resume == nil {
		return
	}
	if _, err := fmt.Fprintln(paused, name); err != nil {
		panic(err)
	}
	if _, err := resume.Read(make([]byte, 1)); err != nil {
		resume = nil // the other end is closed: pause no more
	}
}
