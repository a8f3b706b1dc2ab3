// Package status lets the apps of a running site, such as the metrics and the health check, learn
// the state of the site: crash recovery, reloads, and whether the server is about to stop.
//
// The site makes one [Site] and adds it to the registry of each load; a factory asks for it:
//
//	site := status.Of(b)
//	…
//	if site.Draining() {
//
// A pipeline that no site runs, as in a test, has a nil Site, of which nothing is known.
package status

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// A Site is the state of a running site. Its methods may be called on a nil Site, and are safe for
// concurrent use by multiple goroutines.
type Site struct {
	recovery atomic.Pointer[recovery.Worker]
	interval atomic.Int64
	draining atomic.Bool

	mu    sync.Mutex // guards loads
	loads Loads
}

// Loads count how often the configuration was loaded while the site ran.
type Loads struct {
	Reloads  int       // reloads that succeeded
	Failures int       // reloads that failed, after which the old pipeline went on
	Failed   bool      // the last load failed
	Last     time.Time // end of the last load that succeeded, that of the start included
}

// name is the name of the Site in a registry.
const name = "site"

// Register adds s to a registry.
func Register(r *pipeline.Registry, s *Site) { pipeline.Value(r, name, s) }

// Of returns the Site whose pipeline b builds, or nil.
func Of(b *pipeline.Build) *Site {
	s, err := pipeline.Lookup[*Site](b, name)
	if err != nil {
		return nil
	}
	return s
}

// SetRecovery sets the worker that recovers at intervals.
func (s *Site) SetRecovery(w *recovery.Worker, interval time.Duration) {
	s.interval.Store(int64(interval))
	s.recovery.Store(w)
}

// Recovery returns the counts of crash recovery, and whether it runs.
func (s *Site) Recovery() (stats recovery.Stats, runs bool) {
	if s == nil {
		return stats, false
	}
	w := s.recovery.Load()
	if w == nil {
		return stats, false
	}
	return w.Stats(), true
}

// stuckAfter is after how many intervals without a complete pass recovery is stuck.
const stuckAfter = 4

// RecoveryStuck reports whether no pass of crash recovery has ended for so long before now that one
// must hang.
func (s *Site) RecoveryStuck(now time.Time) bool {
	stats, runs := s.Recovery()
	return runs && stats.Passes > 0 &&
		now.Sub(stats.LastPass) > stuckAfter*time.Duration(s.interval.Load())
}

// Drain records that the server is about to stop.
func (s *Site) Drain() { s.draining.Store(true) }

// Draining reports whether the server is about to stop, so that no new clients should be sent to it.
func (s *Site) Draining() bool { return s != nil && s.draining.Load() }

// Started records the end of the first load.
func (s *Site) Started(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads.Last = now
}

// Reloaded records the end of a reload; err is why it failed.
func (s *Site) Reloaded(now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads.Failed = err != nil; err != nil {
		s.loads.Failures++
		return
	}
	s.loads.Reloads++
	s.loads.Last = now
}

// Loads returns the counts of loads so far.
func (s *Site) Loads() Loads {
	if s == nil {
		return Loads{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}
