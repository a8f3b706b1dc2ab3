package session

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// How many sessions are swept in one transaction: enough to share the cost of a commit, and so few that nobody else's commit, which
// may wait for two of the sweep's, waits for long. A session of a large database is on a page of its own, so every one more is a page
// that the commit writes. (With twice the time, the median commit of others beside a sweep took 5.8 ms instead of 3.8, on a busy machine.)
const (
	minBatch  = 10
	maxBatch  = 200
	batchTime = 2 * time.Millisecond // what its commit should take
)

// nextBatch returns how many to sweep next, when the commit of size of them took so long.
func nextBatch(size int, took time.Duration) int {
	fits := float64(size) * float64(batchTime) / float64(max(took, 1))
	return min(max(int(min(fits, 2*float64(size))), minBatch), maxBatch)
}

// Sweep ends the sessions that have expired and returns how many it has ended. It finds them by time slice, so its
// cost grows with what has expired, not with what exists; it works in small transactions of its own, so call it outside
// of any. Any number of sweeps can go on at the same time, in several processes too: each session is ended once,
// and one that is used meanwhile is not ended. What others hold on to is left for the next sweep.
//
// The error is that of the database, or of ctx; what was ended until then stays ended.
func (m *Manager) Sweep(ctx context.Context) (ended int, err error) {
	defer m.journal.write(ctx)
	var expired, ahead storage.Range
	err = transaction.Run(ctx, func(ctx context.Context) error {
		a, err := m.attempt(ctx)
		if err != nil {
			return err
		}
		expired, ahead, err = a.due(ctx)
		return err
	})
	if err == nil && len(expired.To) > 0 {
		ended, err = m.sweepRange(ctx, expired)
	}
	if err != nil || len(ahead.From) == 0 {
		return ended, err
	}
	n, err := m.sweepRange(ctx, ahead)
	return ended + n, err
}

// due returns the ranges of the index that are to be swept: of what was used so long ago that it has expired, and of what a wrong clock
// dated so far ahead that it counts as used now, so that it ends one day too. The bound of a range that is left alone is empty.
func (a *attempt) due(ctx context.Context) (expired, ahead storage.Range, err error) {
	if err := a.ask(0); err != nil {
		return expired, ahead, err
	}
	m := a.m
	now, judged := m.time()
	if end := m.slice(judged) - m.timeout; end > 0 {
		expired.To = appendSlice(nil, end)
	}
	ahead.From = appendSlice(nil, m.slice(now)+m.timeout+m.period+1)
	if m.clock.common() {
		return expired, ahead, nil
	}
	// The clock may be wrong that says all this.
	if astray := a.count(ahead, maxCount); !m.clock.wentBack() && astray > a.count(storage.Range{To: ahead.From}, astray) {
		m.config.Logger.ErrorContext(ctx, "most sessions are dated more than a timeout ahead of the clock: the clock may be wrong, and none is changed",
			slog.Int("sessions", astray), slog.Time("clock", time.UnixMilli(now)))
		ahead.From = nil
	}
	newest, found := a.newest()
	if _, mono := m.clock.now(); found && m.expired(newest, judged) && !m.watch.certain(newest, mono, m.config.Timeout) {
		m.config.Logger.WarnContext(ctx, "all sessions have expired by the clock, which may be wrong: none is ended before it is certain for one timeout that none is used",
			slog.Time("used", time.UnixMilli(newest)), slog.Time("clock", time.UnixMilli(now)))
		expired.To = nil
	}
	return expired, ahead, nil
}

// maxCount bounds how many index entries are counted.
const maxCount = 1000

// count returns how many entries the index has in r, up to most.
func (a *attempt) count(r storage.Range, most int) (n int) {
	if most == 0 {
		return 0
	}
	for _, err := range a.index().Snapshot().Range(r) {
		if err != nil {
			break // the sweep meets it, too
		}
		if n++; n == most {
			break
		}
	}
	return n
}

// newest returns the latest slice in the index.
func (a *attempt) newest() (slice int64, found bool) {
	for it, err := range a.index().Snapshot().Range(storage.Range{Reverse: true}) {
		if err != nil {
			break
		}
		if slice, _, ok := readIndexKey(it.Key); ok {
			return slice, true
		}
	}
	return 0, false
}

// sweepRange sweeps the sessions that have an index entry in r.
func (m *Manager) sweepRange(ctx context.Context, r storage.Range) (ended int, err error) {
	for size := minBatch; ; {
		b, err := m.sweepBatch(ctx, r, size)
		switch {
		case err == nil:
			ended += b.ended
			if b.seen < size {
				return ended, nil
			}
			size = nextBatch(size, b.commit)
		case ctx.Err() != nil || !transaction.IsTransient(err):
			return ended, err
		case size > 1:
			// Somebody uses, or sweeps, one of these. Find out which.
			size /= 8
			size = max(size, 1)
			continue
		case b.seen == 0:
			return ended, err
		}
		r.From = append(b.last, 0) // the key next to it
	}
}

// A batch is what one transaction of a sweep did.
type batch struct {
	seen  int    // index entries
	last  []byte // the last of them
	ended int

	commit time.Duration // how long that took
}

func (m *Manager) sweepBatch(ctx context.Context, r storage.Range, size int) (b batch, err error) {
	var done time.Time
	err = transaction.Run(ctx, func(ctx context.Context) error {
		b = batch{} // anew in every attempt
		a, err := m.attempt(ctx)
		if err == nil {
			err = a.ask(stale)
		}
		if err != nil {
			return err
		}
		var keys [][]byte
		for it, err := range a.index().Snapshot().Range(r) {
			if err != nil {
				return err
			}
			if keys = append(keys, it.Key); len(keys) == size {
				break
			}
		}
		for _, key := range keys {
			ended, err := a.sweep(ctx, key)
			if err != nil {
				return err
			}
			if ended {
				b.ended++
			}
			b.seen++
			b.last = key
		}
		done = time.Now()
		return nil
	}, transaction.Policy{Tries: 2})
	b.commit = time.Since(done)
	return b, err
}

// sweep does what is to be done about one index entry: ends the session if it has expired, and else puts right what
// the entry says of it.
func (a *attempt) sweep(ctx context.Context, key []byte) (ended bool, err error) {
	slice, r, ok := readIndexKey(key)
	if !ok {
		return false, a.index().Delete(key)
	}
	var l loaded
	// All of it is watched: whoever uses the session before this commits wins.
	if err := l.read(a.data, &r); err != nil {
		return false, err
	}
	now, judged := a.m.time()
	used := l.lastUsed()
	switch {
	case l.problem != nil:
		return false, a.sweepUnreadable(ctx, r, &l, key, slice)
	case l.mark:
		return false, a.sweepMark(r, &l, key, judged)
	case l.exists && a.m.expired(used, judged):
		if a.m.config.OnEnd != nil {
			a.swept = append(a.swept, l.info(r, Expired))
			a.notify()
		}
		ended = true
		fallthrough
	case !l.exists:
		if err := a.delete(r, &l); err != nil {
			return false, err
		}
		return ended, a.index().Delete(key)
	case a.m.astray(used, now):
		return false, a.redate(r, &l, slice, a.m.slice(now))
	case used != slice:
		return false, a.redate(r, &l, slice, used)
	}
	return false, nil
}

// sweepUnreadable drops records that can't be read at the time at which the session would have expired, as far as the index and the
// records that can be read tell.
func (a *attempt) sweepUnreadable(ctx context.Context, r ref, l *loaded, key []byte, slice int64) error {
	now, judged := a.m.time()
	used := max(slice, l.lastUsed())
	if a.m.astray(used, now) {
		used = a.m.slice(now)
	}
	if a.m.expired(used, judged) {
		a.m.config.Logger.WarnContext(ctx, "a session that can't be read has expired, and is deleted", slog.Any("error", l.problem))
		if err := a.delete(r, l); err != nil {
			return err
		}
		return a.index().Delete(key)
	}
	return a.relist(r, key, used)
}

// sweepMark drops a mark that is over, and what was left with it.
func (a *attempt) sweepMark(r ref, l *loaded, key []byte, judged int64) error {
	if a.m.over(l.used, judged) {
		if err := a.delete(r, l); err != nil {
			return err
		}
		return a.index().Delete(key)
	}
	return a.relist(r, key, a.m.markSlice(l.used))
}

// relist makes slice the place of r in the index, instead of the entry that was found.
func (a *attempt) relist(r ref, found []byte, slice int64) error {
	key := r.indexKey(slice)
	if bytes.Equal(key, found) {
		return nil
	}
	if err := a.index().Delete(found); err != nil {
		return err
	}
	return a.index().Put(key, []byte{})
}

// redate replaces all that says when the session r was used, and the index entry that was found, by one slice.
func (a *attempt) redate(r ref, l *loaded, found, slice int64) error {
	for _, it := range l.uses() {
		if err := a.data.Delete(it.Key); err != nil {
			return err
		}
	}
	if err := a.data.Put(r.usedKey(slice), []byte{}); err != nil {
		return err
	}
	return a.relist(r, r.indexKey(found), slice)
}

// A Sweeper sweeps from time to time until it is closed.
type Sweeper struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// StartSweeper starts a goroutine that sweeps every SweepInterval, the first time after one, unless another sweeper of these sessions is
// just at it, in this process or in another. Whoever starts it closes it. One for each process is enough, however many use the database.
func (m *Manager) StartSweeper() *Sweeper {
	ctx, stop := context.WithCancel(context.Background())
	s := &Sweeper{stop: stop}
	s.done.Go(func() { m.sweepForever(ctx) })
	return s
}

// Close stops the sweeper, in the middle of a sweep if need be, and waits for it. It can be called more than once;
// the error is always nil.
func (s *Sweeper) Close() error {
	s.stop()
	s.done.Wait()
	return nil
}

func (m *Manager) sweepForever(ctx context.Context) {
	for {
		wait := m.config.SweepInterval
		wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait)) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		ended, err := m.sweepAlone(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.config.Logger.ErrorContext(ctx, "sweeping expired sessions failed", slog.Any("error", fmt.Errorf("session: %w", err)))
		case ended > 0:
			m.config.Logger.DebugContext(ctx, "expired sessions swept", slog.Int("ended", ended))
		}
	}
}

// sweepAlone is Sweep, or nothing if another sweeper has the lock: two would look at the same sessions and get into each other's way.
func (m *Manager) sweepAlone(ctx context.Context) (ended int, err error) {
	unlock, ok, err := m.db.TryLock(ctx, m.sweepLock())
	if !ok || err != nil {
		return 0, err
	}
	defer unlock()
	return m.Sweep(ctx)
}

func (m *Manager) sweepLock() string { return "sweep of " + m.config.Name }
