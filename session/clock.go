package session

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// The wall clock may stray from the monotonic clock by tolerance, and by slew in every unit of time (clocks are slewed by
// half a thousandth at most), before that counts as a jump. So that the slew allowed does not add up, a new anchor
// is made when the old one has become stale.
const (
	tolerance = time.Second
	slew      = 1000
	stale     = time.Minute
)

// A clock tells the time, and what time to judge by when asking whether a session has been unused for too long.
// The two differ for one timeout after the wall clock jumped ahead (it was set, or the machine slept): as long as that,
// ages are measured as if the jump had not been. Who was active before the jump and comes back within a timeout of it
// finds the session; who does not had been away for a timeout by any clock.
type clock struct {
	timeout time.Duration
	log     *slog.Logger
	source  func() (wall time.Time, monotonic time.Duration)

	anchor atomic.Pointer[anchor]
	mu     sync.Mutex // held while a new anchor is made of the old one
}

// An anchor is a moment on both clocks, and the jump that is still forgiven.
type anchor struct {
	wall  time.Time
	mono  time.Duration
	ahead time.Duration // how far the wall clock has jumped ahead
	until time.Duration // when on the monotonic clock this ceases to matter
}

func newClock(timeout time.Duration, log *slog.Logger) *clock {
	start := time.Now()
	c := &clock{timeout: timeout, log: log}
	c.source = func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start) // Round takes the monotonic reading away
	}
	return c
}

// read returns the time, and the time by which to judge ages, both in milliseconds since 1970 and never negative.
func (c *clock) read() (now, judged int64) {
	wall, mono := c.source()
	a := c.anchor.Load()
	if a == nil || !a.holds(wall, mono) {
		a = c.renew(wall, mono)
	}
	return max(0, wall.UnixMilli()), max(0, wall.Add(-a.ahead).UnixMilli())
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
	return a.jump(wall, mono) == 0 && mono-a.mono < stale && (a.ahead == 0 || mono < a.until)
}

// renew makes the anchor that holds at this reading of the clocks.
func (c *clock) renew(wall time.Time, mono time.Duration) *anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.anchor.Load()
	if a == nil {
		a = &anchor{wall: wall, mono: mono}
	}
	next := &anchor{wall: wall, mono: mono, ahead: a.ahead, until: a.until}
	if next.ahead > 0 && mono >= next.until {
		next.ahead = 0
	}
	switch jump := a.jump(wall, mono); {
	case jump > 0:
		next.ahead += jump
		next.until = mono + c.timeout
		c.log.Warn("the clock jumped ahead: no session expires by it before one timeout has passed",
			slog.Duration("jump", jump), slog.Duration("timeout", c.timeout))
	case jump < 0:
		// What was ahead has been taken back; what goes back beyond that makes nobody older.
		next.ahead = max(0, next.ahead+jump)
		c.log.Warn("the clock jumped back", slog.Duration("jump", -jump))
	}
	c.anchor.Store(next)
	return next
}
