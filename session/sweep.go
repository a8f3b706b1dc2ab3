package session

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// Limits of the number of sessions that a sweep or a flush handles in one transaction, a batch. A
// large batch shares the cost of a commit; a small one does not delay other commits for long, which
// may have to wait for two commits of batches. In a large database each session is on a different
// page, and the commit writes every page that changed.
const (
	minBatch  = 10
	maxBatch  = 200
	batchTime = 2 * time.Millisecond // by which a batch may make any commit longer
)

// A batchSize chooses the sizes of the batches of one sweep or flush.
type batchSize struct {
	n       int           // the size of the next batch
	fastest time.Duration // the commit that took least; 0: none yet
}

func newBatchSize() *batchSize { return &batchSize{n: minBatch} }

// committed chooses the next size, given the duration of the last batch's commit. A batch may make
// a commit longer by batchTime, or twice as long: if every commit takes long, as on a slow disk,
// small batches would only need more of them.
func (s *batchSize) committed(took time.Duration) {
	if s.fastest == 0 || took < s.fastest {
		s.fastest = took
	}
	longer := max(batchTime, s.fastest)
	fits := float64(s.n) * float64(longer) / float64(max(took-s.fastest, 1))
	s.n = min(max(int(min(fits, 2*float64(s.n))), minBatch), maxBatch)
}

// after chooses the size of the batch that follows b, which ended with err. If another transaction
// is working on one of the sessions of b, they are to be tried again in smaller batches; a batch of
// one session is left out instead. Other errors are returned.
func (s *batchSize) after(ctx context.Context, b batch, err error) (again bool, _ error) {
	switch {
	case err == nil:
		s.committed(b.commit)
		return false, nil
	case ctx.Err() != nil || !transaction.IsTransient(err):
		return false, err
	case s.n > 1:
		s.n = max(s.n/8, 1)
		return true, nil
	case b.seen == 0:
		return false, err
	}
	return false, nil
}

// Sweep ends the sessions that have expired and returns their number. It finds them by time slice,
// so that its cost depends on the number of expired sessions, not on that of all sessions. It runs
// small transactions of its own, so call it outside of any transaction. Sweeps may run at the same
// time, also in several processes: each session is ended once, and a session that is used meanwhile
// is not ended. Sessions on which other transactions are working are left for the next sweep.
//
// The error is that of the database or of ctx; sessions that were ended before it stay ended.
func (m *Manager) Sweep(ctx context.Context) (ended int, err error) {
	defer m.log.write(ctx)
	if seen := observe.FromContext(ctx); seen.Listening() {
		start := time.Now()
		defer func() {
			seen.Swept(ctx, observe.Sweep{
				Ended: ended, Err: err, Start: start, Duration: time.Since(start),
			})
		}()
	}
	m.noteFlush(ctx, m.flush(ctx)) // the sweep itself knows of pending uses
	var expired, ahead storage.Range
	err = transaction.Run(ctx, func(ctx context.Context) error {
		ts, err := m.txState(ctx)
		if err != nil {
			return err
		}
		expired, ahead, err = ts.due(ctx)
		return err
	})
	progress := sweepProgress{logger: m.config.Logger, start: time.Now(), told: time.Now()}
	if err == nil && len(expired.To) > 0 {
		err = m.sweepRange(ctx, expired, &progress)
	}
	if err == nil && len(ahead.From) > 0 {
		err = m.sweepRange(ctx, ahead, &progress)
	}
	return progress.ended, err
}

// progressEvery is the time between two log records of a sweep that takes long.
const progressEvery = 15 * time.Second

// A sweepProgress counts the sessions that a sweep ends, and logs the number if that takes long.
type sweepProgress struct {
	logger      *slog.Logger
	start, told time.Time
	ended       int
}

func (p *sweepProgress) add(ctx context.Context, ended int) {
	p.ended += ended
	if time.Since(p.told) < progressEvery {
		return
	}
	p.told = time.Now()
	p.logger.InfoContext(ctx, "still sweeping expired sessions",
		slog.Int("ended", p.ended), slog.Duration("elapsed", time.Since(p.start)))
}

// due returns the ranges of the index to sweep: expired holds the sessions that have expired, and
// ahead those that a wrong clock dated so far ahead that they are dated back to now, so that they
// will expire, too. A bound that is empty means that the range must not be swept.
func (ts *txState) due(ctx context.Context) (expired, ahead storage.Range, err error) {
	if err := ts.askClock(0); err != nil {
		return expired, ahead, err
	}
	m := ts.m
	now, adjusted := m.time()
	if end := m.slice(adjusted) - m.timeout; end > 0 {
		expired.To = appendSlice(nil, end)
	}
	ahead.From = appendSlice(nil, m.slice(now)+m.timeout+m.period+1)
	if m.clock.fromDatabase() {
		return expired, ahead, nil
	}
	// The clock itself may be wrong.
	farAhead := ts.count(ahead, maxCount)
	if !m.clock.wentBack() && farAhead > ts.count(storage.Range{To: ahead.From}, farAhead) {
		m.config.Logger.ErrorContext(ctx,
			"most sessions are dated more than a timeout ahead of the clock: "+
				"the clock may be wrong, so none is changed",
			slog.Int("sessions", farAhead), slog.Time("clock", time.UnixMilli(now)))
		ahead.From = nil
	}
	newest, found := ts.newest()
	_, mono := m.clock.now()
	if found && m.expired(newest, adjusted) && !m.usage.isLast(newest, mono, m.config.Timeout) {
		m.config.Logger.WarnContext(ctx,
			"all sessions have expired by the clock, which may be wrong: "+
				"they are only ended if none is used for one timeout",
			slog.Time("used", time.UnixMilli(newest)), slog.Time("clock", time.UnixMilli(now)))
		expired.To = nil
	}
	return expired, ahead, nil
}

// maxCount limits how many index entries are counted.
const maxCount = 1000

// count returns the number of index entries in r, up to most.
func (ts *txState) count(r storage.Range, most int) (n int) {
	if most == 0 {
		return 0
	}
	for _, err := range ts.index().Snapshot().Range(r) {
		if err != nil {
			break // the sweep will report it
		}
		if n++; n == most {
			break
		}
	}
	return n
}

// newest returns the latest slice in the index.
func (ts *txState) newest() (slice int64, found bool) {
	for it, err := range ts.index().Snapshot().Range(storage.Range{Reverse: true}) {
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
func (m *Manager) sweepRange(ctx context.Context, r storage.Range, progress *sweepProgress) error {
	for size := newBatchSize(); ; {
		b, err := m.sweepBatch(ctx, r, size.n)
		if err == nil {
			progress.add(ctx, b.ended)
			if b.seen < size.n {
				return nil
			}
		}
		again, err := size.after(ctx, b, err)
		if err != nil {
			return err
		}
		if !again {
			r.From = append(b.last, 0) // the smallest key after last
		}
	}
}

// A batch is the result of one transaction of a sweep or flush.
type batch struct {
	seen  int    // number of sessions; of a sweep: of index entries
	last  []byte // key of the last index entry
	ended int

	commit time.Duration // duration of the commit
}

func (m *Manager) sweepBatch(ctx context.Context, r storage.Range, size int) (b batch, err error) {
	commit, err := m.runBatch(ctx, m.db, func(ctx context.Context, ts *txState) error {
		b = batch{} // reset by every attempt
		var keys [][]byte
		for it, err := range ts.index().Snapshot().Range(r) {
			if err != nil {
				return err
			}
			if keys = append(keys, it.Key); len(keys) == size {
				break
			}
		}
		for _, key := range keys {
			ended, err := ts.sweep(ctx, key)
			if err != nil {
				return err
			}
			if ended {
				b.ended++
			}
			b.seen++
			b.last = key
		}
		return nil
	})
	b.commit = commit
	return b, err
}

// sweep handles one index entry: it ends the session if it has expired, and otherwise corrects the
// entry.
func (ts *txState) sweep(ctx context.Context, key []byte) (ended bool, err error) {
	slice, r, ok := readIndexKey(key)
	if !ok {
		return false, ts.index().Delete(key)
	}
	var l loaded
	// All records are watched, so that a transaction that uses the session before this commit wins.
	if err := l.read(ts.data, &r); err != nil {
		return false, err
	}
	now, adjusted := ts.m.time()
	ts.m.addPending(&l, r, now) // not stored by the flush of the sweep, or later
	used := l.lastUsed()
	switch {
	case l.problem != nil:
		return false, ts.sweepUnreadable(ctx, r, &l, key, slice)
	case l.tombstone:
		return false, ts.sweepTombstone(r, &l, key, adjusted)
	case l.exists && ts.m.expired(used, adjusted):
		if ts.reports() {
			ts.swept = append(ts.swept, l.info(r, Expired))
			ts.notify()
		}
		ended = true
		fallthrough
	case !l.exists:
		if err := ts.delete(r, &l); err != nil {
			return false, err
		}
		return ended, ts.index().Delete(key)
	case ts.m.farAhead(used, now):
		return false, ts.redate(r, &l, slice, ts.m.slice(now))
	case used != slice:
		return false, ts.redate(r, &l, slice, used)
	}
	return false, nil
}

// sweepUnreadable deletes unreadable records when the session would have expired, according to the
// index and the records that can be read.
func (ts *txState) sweepUnreadable(
	ctx context.Context, r ref, l *loaded, key []byte, slice int64,
) error {
	now, adjusted := ts.m.time()
	used := max(slice, l.lastUsed())
	if ts.m.farAhead(used, now) {
		used = ts.m.slice(now)
	}
	if ts.m.expired(used, adjusted) {
		ts.m.config.Logger.WarnContext(ctx,
			"a session that can't be read has expired, and is deleted",
			slog.Any("error", l.problem))
		if err := ts.delete(r, l); err != nil {
			return err
		}
		return ts.index().Delete(key)
	}
	return ts.moveIndexEntry(r, key, used)
}

// sweepTombstone deletes a tombstone whose grace is over, and the items that are kept with it.
func (ts *txState) sweepTombstone(r ref, l *loaded, key []byte, adjusted int64) error {
	if ts.m.graceOver(l.used, adjusted) {
		if err := ts.delete(r, l); err != nil {
			return err
		}
		return ts.index().Delete(key)
	}
	return ts.moveIndexEntry(r, key, ts.m.tombstoneSlice(l.used))
}

// moveIndexEntry replaces the index entry of r with the key found by one for slice.
func (ts *txState) moveIndexEntry(r ref, found []byte, slice int64) error {
	key := r.indexKey(slice)
	if bytes.Equal(key, found) {
		return nil
	}
	if err := ts.index().Delete(found); err != nil {
		return err
	}
	return ts.index().Put(key, []byte{})
}

// redate replaces all used records of the session r, and its index entry for the slice found, by
// one record and one entry for slice.
func (ts *txState) redate(r ref, l *loaded, found, slice int64) error {
	if err := ts.index().Delete(r.indexKey(found)); err != nil {
		return err
	}
	return ts.mark(r, l, slice)
}

// A Sweeper sweeps at intervals until it is closed.
type Sweeper struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// StartSweeper starts a goroutine that sweeps every SweepInterval, for the first time after one
// interval. It skips a sweep while another sweeper of these sessions is running, in this process or
// another. The caller must close the Sweeper; only the values of ctx are used, so that it may be the
// context of a factory. One sweeper per process is enough, however many processes use the database.
func (m *Manager) StartSweeper(ctx context.Context) *Sweeper {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Sweeper{stop: stop}
	s.done.Go(func() { m.sweepForever(ctx) })
	return s
}

// Close stops the sweeper, also in the middle of a sweep, and waits for its goroutine to end. It
// can be called more than once; the error is always nil.
func (s *Sweeper) Close() error {
	s.stop()
	s.done.Wait()
	return nil
}

func (m *Manager) sweepForever(ctx context.Context) {
	for {
		wait := m.config.SweepInterval
		wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait))
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
			m.config.Logger.ErrorContext(ctx, "sweeping expired sessions failed",
				slog.Any("error", fmt.Errorf("session: %w", err)))
		case ended > 0:
			m.config.Logger.DebugContext(ctx, "expired sessions swept", slog.Int("ended", ended))
		}
	}
}

// sweepAlone is Sweep, except that it does nothing while another sweeper has the lock: two sweeps
// of the same sessions would conflict.
func (m *Manager) sweepAlone(ctx context.Context) (ended int, err error) {
	unlock, ok, err := m.db.TryLock(ctx, m.sweepLock())
	if !ok || err != nil {
		return 0, err
	}
	defer unlock()
	return m.Sweep(ctx)
}

func (m *Manager) sweepLock() string { return "sweep of " + m.config.Name }
