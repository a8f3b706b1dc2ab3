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

// A visit is one of the times that the program gets to a place.
type visit struct {
	place string
	left  atomic.Int64 // how many more times, until it is that one
}

// planned returns the visit that the environment names. Names of places may have a colon, too, but with no number behind it.
func planned(variable string) *visit {
	v := &visit{place: os.Getenv(variable)}
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

// reached counts, and returns how many more times it will be; 0 is the one.
func (v *visit) reached(name string) (left int64, ok bool) {
	if v.place == "" || v.place != name {
		return 0, false
	}
	return v.left.Add(-1), true
}

var crash, pause = planned("PASTELINE_CRASH"), planned("PASTELINE_PAUSE")

// The two ends of the conversation about a pause, which is one at a time. Without one, the descriptors are somebody else's.
var (
	pausing    sync.Mutex
	tell, told = func() (tell, told *os.File) {
		if pause.place == "" {
			return nil, nil
		}
		return os.NewFile(3, "PASTELINE_PAUSE: says where it is"), os.NewFile(4, "PASTELINE_PAUSE: is told to go on")
	}()
)

// Here ends the process if the environment says so, and does not return then; or waits.
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
	if told == nil {
		return
	}
	if _, err := fmt.Fprintln(tell, name); err != nil {
		panic(err)
	}
	if _, err := told.Read(make([]byte, 1)); err != nil {
		told = nil // whoever has told us so does it no more
	}
}
