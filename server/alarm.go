package server

import (
	"errors"
	"os"
	"sync"
	"time"
)

// An alarm is the deadline for reading from a connection. The system is told of it when somebody waits, and only if it would end
// the wait too late; if too early, once in an idle timeout, the read goes on. Net/http sets six deadlines for a request, most
// of them while nothing is read: to take them back before anything is, or to put the end of an idle connection off. This takes 1.5 µs
// and an allocation off a request of 29, both ends and the system included (BenchmarkRequest).
type alarm struct {
	set func(time.Time) error // tells the system

	mu      sync.Mutex // guards the rest
	wanted  time.Time  // the deadline; zero is none
	armed   time.Time  // what the system has; not later than wanted while somebody waits
	rung    bool       // armed has passed, as far as is known
	waiting int        // reads
}

// put makes t the deadline.
func (a *alarm) put(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = t
	if a.waiting == 0 || !a.late() {
		return nil
	}
	return a.arm()
}

// begin is called before each read. An error is its outcome.
func (a *alarm) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.late() {
		if passed(a.wanted) { // net/http ends its own reads in this way, most of them before they have begun
			return os.ErrDeadlineExceeded
		}
		if err := a.arm(); err != nil {
			return err
		}
	}
	a.waiting++
	return nil
}

// end is called after each read, and reports whether it was woken too early, and is to begin again.
func (a *alarm) end(err error) (again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	a.rung = true
	return !passed(a.wanted)
}

// late reports whether the system has to be told.
func (a *alarm) late() bool {
	return a.rung || !a.wanted.IsZero() && (a.armed.IsZero() || a.wanted.Before(a.armed))
}

func (a *alarm) arm() error {
	a.armed, a.rung = a.wanted, passed(a.wanted)
	return a.set(a.wanted)
}

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && time.Until(deadline) <= 0
}
