package session

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The wall clock may stray from the monotonic clock by tolerance, and by slew in every unit of time (clocks are slewed by
// half a thousandth at most), before that counts as a jump. So that the slew allowed does not add up, a new anchor
// is made when the old one has become stale. The clock of a database is asked as often.
const (
	tolerance = time.Second
	slew      = 1000
	stale     = time.Minute
)

// maxJumps bounds how many jumps are remembered.
const maxJumps = 64

// A clock tells the time, and what time to judge by when asking whether a session has been unused for too long.
// The two differ for one timeout after the wall clock jumped ahead (it was set, or the machine slept): as long as that,
// ages are measured as if the jump had not been. Who was active before the jump and comes back within a timeout of it
// finds the session; who does not had been away for a timeout by any clock.
//
// The wall clock is that of the database, if it has one, so that all machines that use it agree; else that of the machine. All
// managers of an open database share one clock, so that a reload forgets no jump.
type clock struct {
	source func() (wall time.Time, monotonic time.Duration) // of the machine
	sample atomic.Pointer[sample]                           // nil: the database has no clock, or was not asked yet
	alone  atomic.Bool                                      // the database was asked, and has no clock

	anchor atomic.Pointer[anchor]
	mu     sync.Mutex // held while a new anchor is made of the old one
}

// A sample is what a database's clock was at a moment.
type sample struct {
	wall time.Time
	mono time.Duration
}

// An anchor is a moment on both clocks, with the jumps ahead that were seen until then, oldest first.
type anchor struct {
	wall  time.Time
	mono  time.Duration
	jumps []jump
	back  bool // there was a jump back, too
}

type jump struct {
	at time.Duration // on the monotonic clock
	by time.Duration
}

// clockKey is the key of the clock that the managers of a database share.
type clockKey struct{}

func newClock() *clock {
	start := time.Now()
	return &clock{source: func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start) // Round takes the monotonic reading away
	}}
}

// now returns the time on both clocks.
func (c *clock) now() (wall time.Time, mono time.Duration) {
	wall, mono = c.source()
	if s := c.sample.Load(); s != nil {
		wall = s.wall.Add(mono - s.mono)
	}
	return wall, mono
}

// common reports whether the time is the database's own, on which all who use it agree.
func (c *clock) common() bool { return c.sample.Load() != nil }

// read returns the time, and the time by which a manager with this timeout judges ages, both in milliseconds since 1970 and never
// negative.
func (c *clock) read(timeout time.Duration, log *journal) (now, judged int64) {
	wall, mono := c.now()
	a := c.anchor.Load()
	if a == nil || !a.holds(wall, mono) {
		a = c.renew(wall, mono, timeout, log)
	}
	var ahead time.Duration
	for _, j := range a.jumps {
		if mono-j.at < timeout {
			ahead += j.by
		}
	}
	return max(0, wall.UnixMilli()), max(0, wall.Add(-ahead).UnixMilli())
}

// wentBack reports whether the clock has jumped back: then what is dated ahead was dated before that.
func (c *clock) wentBack() bool {
	a := c.anchor.Load()
	return a != nil && a.back
}

// ask asks the database for the time, unless it has no clock or was asked not longer than age ago.
func (a *attempt) ask(age time.Duration) error {
	c := a.m.clock
	_, before := c.source()
	if s := c.sample.Load(); c.alone.Load() || s != nil && before-s.mono < age {
		return nil
	}
	wall, ok, err := a.tx.Now()
	if err != nil {
		return fmt.Errorf("session: the time: %w", err)
	}
	if !ok {
		c.alone.Store(true)
		return nil
	}
	_, after := c.source()
	c.sample.Store(&sample{wall: wall.Round(0), mono: before + (after-before)/2})
	return nil
}

// drift returns how far the wall clock has moved more than the monotonic clock since a.
func (a *anchor) drift(wall time.Time, mono time.Duration) time.Duration {
	return wall.Sub(a.wall) - (mono - a.mono)
}

// jump returns how far the wall clock has jumped since a, 0 if not.
func (a *anchor) jump(wall time.Time, mono time.Duration) time.Duration {
	drift := a.drift(wall, mono)
	if drift.Abs() <= tolerance+(mono-a.mono)/slew {
		return 0
	}
	return drift
}

func (a *anchor) holds(wall time.Time, mono time.Duration) bool {
	return a.jump(wall, mono) == 0 && mono-a.mono < stale
}

// renew makes the anchor that holds at this reading of the clocks.
func (c *clock) renew(wall time.Time, mono, timeout time.Duration, log *journal) *anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.anchor.Load()
	if a == nil {
		a = &anchor{wall: wall, mono: mono}
	}
	next := &anchor{wall: wall, mono: mono, jumps: a.jumps, back: a.back}
	switch by := a.jump(wall, mono); {
	case by > 0:
		next.jumps = append(slices.Clone(a.jumps), jump{mono, by})
		next.jumps = next.jumps[max(0, len(next.jumps)-maxJumps):]
		log.add(slog.LevelWarn, "the clock jumped ahead: no session expires by it before one timeout has passed",
			slog.Duration("jump", by), slog.Duration("timeout", timeout))
	case by < 0:
		next.jumps, next.back = takeBack(slices.Clone(a.jumps), -by), true
		log.add(slog.LevelWarn, "the clock jumped back", slog.Duration("jump", -by))
	}
	c.anchor.Store(next)
	return next
}

// takeBack takes a jump back from jumps ahead, the latest first. What goes back beyond them makes nobody older.
func takeBack(jumps []jump, by time.Duration) []jump {
	for by > 0 && len(jumps) > 0 {
		last := &jumps[len(jumps)-1]
		taken := min(by, last.by)
		last.by -= taken
		by -= taken
		if last.by == 0 {
			jumps = jumps[:len(jumps)-1]
		}
	}
	return jumps
}

// A watch is what a process knows of when the sessions of a name were used last. It tells a clock that is wrong from a site that nobody
// visits, where there is no common clock: a sweep that would end all sessions ends those of whose last use this process knows itself, or
// none before it has been so for one timeout.
type watch struct {
	used atomic.Int64 // the latest slice in which this process marked a session as used

	mu    sync.Mutex // guards the rest
	found int64      // the latest slice that a sweep found, if it is later
	since time.Duration
}

// watchKey is the key of the watch that the managers of that name, of one database, share.
type watchKey struct{ name string }

// mark takes note that a session is used in the slice, which is the present one.
func (w *watch) mark(slice int64) {
	for used := w.used.Load(); slice > used; used = w.used.Load() {
		if w.used.CompareAndSwap(used, slice) {
			return
		}
	}
}

// certain reports whether it is certain that no session was used after the slice newest, the latest there is, which has expired
// by a clock that may be wrong.
func (w *watch) certain(newest int64, mono, timeout time.Duration) bool {
	if newest <= w.used.Load() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if newest != w.found {
		w.found, w.since = newest, mono
	}
	return mono-w.since >= timeout
}
