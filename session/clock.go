package session

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The wall clock may deviate from the monotonic clock by tolerance, plus 1/slew of the elapsed time
// (operating systems slew clocks by at most half of that), before the deviation counts as a jump.
// An anchor is replaced when it is older than stale, so that the allowed slew does not add up. The
// clock of a database is read at the same interval.
const (
	tolerance = time.Second
	slew      = 1000
	stale     = time.Minute
)

// maxJumps limits how many jumps are remembered.
const maxJumps = 64

// A clock returns the time, and the adjusted time by which sessions expire. The two differ for one
// timeout after the wall clock jumped ahead (it was set, or the machine slept): for that long, ages
// are measured as if the jump had not happened. A browser that was active before the jump and
// returns within a timeout after it finds its session; one that does not return was away for a
// timeout by any clock.
//
// The wall clock is the database's, if it has one, so that all machines agree; otherwise it is the
// machine's. All managers of an open database share one clock, so that a reload forgets no jump.
type clock struct {
	source func() (wall time.Time, monotonic time.Duration) // the machine's clocks
	// nil if the database has no clock, or its clock was not read yet
	sample atomic.Pointer[sample]
	// the database has no clock; false until the first attempt to read it
	noDBClock atomic.Bool

	anchor atomic.Pointer[anchor]
	mu     sync.Mutex // held while an anchor is replaced
}

// A sample is a reading of the database's clock, with the machine's monotonic time.
type sample struct {
	wall time.Time
	mono time.Duration
}

// An anchor is a reading of both clocks, with the jumps ahead that were seen until then, oldest
// first.
type anchor struct {
	wall  time.Time
	mono  time.Duration
	jumps []jump
	back  bool // the clock has jumped back at least once
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
		return now.Round(0), now.Sub(start) // Round removes the monotonic reading
	}}
}

// now returns the readings of both clocks.
func (c *clock) now() (wall time.Time, mono time.Duration) {
	wall, mono = c.source()
	if s := c.sample.Load(); s != nil {
		wall = s.wall.Add(mono - s.mono)
	}
	return wall, mono
}

// fromDatabase reports whether the time is the database's, which all processes share.
func (c *clock) fromDatabase() bool { return c.sample.Load() != nil }

// read returns the time, and the adjusted time by which a manager with this timeout measures ages.
// Both are in milliseconds since 1970 and never negative.
func (c *clock) read(timeout time.Duration, log *logQueue) (now, adjusted int64) {
	wall, mono := c.now()
	a := c.anchor.Load()
	if a == nil || !a.valid(wall, mono) {
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

// wentBack reports whether the clock has jumped back: timestamps in the future may be older than
// that jump.
func (c *clock) wentBack() bool {
	a := c.anchor.Load()
	return a != nil && a.back
}

// askClock reads the clock of the database, unless it has none or it was read less than age ago.
func (ts *txState) askClock(age time.Duration) error {
	c := ts.m.clock
	_, before := c.source()
	if s := c.sample.Load(); c.noDBClock.Load() || s != nil && before-s.mono < age {
		return nil
	}
	wall, ok, err := ts.tx.Now()
	if err != nil {
		return fmt.Errorf("session: can't read the clock of the database: %w", err)
	}
	if !ok {
		c.noDBClock.Store(true)
		return nil
	}
	_, after := c.source()
	c.sample.Store(&sample{wall: wall.Round(0), mono: before + (after-before)/2})
	return nil
}

// drift returns how much further the wall clock has moved since a than the monotonic clock.
func (a *anchor) drift(wall time.Time, mono time.Duration) time.Duration {
	return wall.Sub(a.wall) - (mono - a.mono)
}

// jump returns the distance by which the wall clock has jumped since a, or 0.
func (a *anchor) jump(wall time.Time, mono time.Duration) time.Duration {
	drift := a.drift(wall, mono)
	if drift.Abs() <= tolerance+(mono-a.mono)/slew {
		return 0
	}
	return drift
}

// valid reports whether a can be used for these readings: no jump since a, and a is not stale.
func (a *anchor) valid(wall time.Time, mono time.Duration) bool {
	return a.jump(wall, mono) == 0 && mono-a.mono < stale
}

// renew replaces the anchor with one for these readings, and records a jump.
func (c *clock) renew(wall time.Time, mono, timeout time.Duration, log *logQueue) *anchor {
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
		log.add(slog.LevelWarn,
			"the clock jumped ahead; the jump makes no session expire within one timeout",
			slog.Duration("jump", by), slog.Duration("timeout", timeout))
	case by < 0:
		next.jumps, next.back = takeBack(slices.Clone(a.jumps), -by), true
		log.add(slog.LevelWarn, "the clock jumped back", slog.Duration("jump", -by))
	}
	c.anchor.Store(next)
	return next
}

// takeBack cancels recorded jumps ahead by a jump back, the latest first. The rest of the jump back
// is ignored, as it only makes sessions younger.
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
