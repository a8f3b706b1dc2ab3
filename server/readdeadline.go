package server

import (
	"errors"
	"os"
	"sync"
	"time"
)

// A readDeadline defers the calls of SetReadDeadline of a connection: it passes a deadline on only
// while a Read is waiting, and only if the armed deadline is later than the wanted one. If the
// armed deadline fires too early, the Read is repeated. Net/http sets several deadlines per
// request, most of them while no Read is waiting: to cancel an earlier one, or to postpone the end
// of an idle connection. Deferring them saves system calls and an allocation (BenchmarkRequest).
type readDeadline struct {
	setNow func(time.Time) error // SetReadDeadline of the connection

	mu      sync.Mutex // guards the rest
	wanted  time.Time  // the deadline; zero means none
	armed   time.Time  // the system's deadline; not later than wanted while a Read waits
	fired   bool       // armed has fired
	waiting int        // number of waiting reads
}

// set sets the deadline.
func (d *readDeadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.waiting == 0 || !d.late() {
		return nil
	}
	return d.arm()
}

// begin is called before each read. The read fails with its error.
func (d *readDeadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.late() {
		// net/http cancels its own reads this way, most of them before they begin
		if passed(d.wanted) {
			return os.ErrDeadlineExceeded
		}
		if err := d.arm(); err != nil {
			return err
		}
	}
	d.waiting++
	return nil
}

// end is called after each read. It reports whether the read was woken too early and must be
// repeated.
func (d *readDeadline) end(err error) (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting--
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.fired = true
	return !passed(d.wanted)
}

// late reports whether the system's deadline must be set.
func (d *readDeadline) late() bool {
	return d.fired || !d.wanted.IsZero() && (d.armed.IsZero() || d.wanted.Before(d.armed))
}

// arm passes the wanted deadline on.
func (d *readDeadline) arm() error {
	d.armed, d.fired = d.wanted, passed(d.wanted)
	return d.setNow(d.wanted)
}

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && time.Until(deadline) <= 0
}
