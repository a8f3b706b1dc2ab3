package server

import (
	"errors"
	"os"
	"sync"
	"time"
)

// An alarm is the read deadline of a connection. It calls SetReadDeadline only while a Read is
// waiting, and only if the deadline that the system has is too late; if that one fires too early,
// the Read goes on. Net/http sets several deadlines per request, most of them while no Read is
// waiting: to cancel an earlier one, or to postpone the end of an idle connection. Deferring them
// saves system calls and an allocation (BenchmarkRequest).
type alarm struct {
	set func(time.Time) error // SetReadDeadline of the connection

	mu      sync.Mutex // guards the rest
	wanted  time.Time  // the deadline; zero means none
	armed   time.Time  // the system's deadline; not later than wanted while a Read waits
	rung    bool       // armed has fired
	waiting int        // number of waiting reads
}

// put sets the deadline.
func (a *alarm) put(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = t
	if a.waiting == 0 || !a.late() {
		return nil
	}
	return a.arm()
}

// begin is called before each read. The read fails with its error.
func (a *alarm) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.late() {
		// net/http cancels its own reads this way, most of them before they begin
		if passed(a.wanted) {
			return os.ErrDeadlineExceeded
		}
		if err := a.arm(); err != nil {
			return err
		}
	}
	a.waiting++
	return nil
}

// end is called after each read. It reports whether the read was woken too early and must be
// repeated.
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

// late reports whether the system's deadline must be set.
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
