package session

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// flushesPerPeriod is how many flushes fit into a period: a use is pending for a quarter of it.
const flushesPerPeriod = 4

// closeTimeout limits how long closing the database waits for the last flush.
const closeTimeout = 5 * time.Second

// A usage records when the sessions of a manager's name were used, as far as this process knows.
// The managers of one name share it within a database, also across reloads.
//
// A request that only reads must not wait for the disk, so most uses are not stored by their
// transaction: they are pending here when it has committed, and a flush stores them in transactions
// of its own. A flush begins at most a quarter of a period after a use has become pending, before a
// sweep, and when the database is closed. If the process is killed, the pending uses are lost; see
// [Manager.defers] for the effect.
//
// Where the database has no clock, a usage also distinguishes a wrong clock from a site without
// visitors: a sweep that would end all sessions ends them only if this process has marked the last
// use, or has found the same last use for one timeout.
type usage struct {
	db *storage.DB // stays open until the last user of the database closes it

	used  atomic.Int64 // the latest slice in which this process used a session
	count atomic.Int64 // len(pending)

	flushing chan struct{}   // holds an element while a flush runs
	ctx      context.Context // of the flushes that the timer starts
	cancel   context.CancelFunc

	mu      sync.Mutex    // guards the rest
	found   int64         // the latest slice that a sweep found, if it is later than used
	since   time.Duration // when found was found, on the monotonic clock
	pending map[ref]int64 // the latest slice of each session that has uses to be stored
	timer   *time.Timer   // starts the next flush; kept until that flush has ended; nil: none
	due     time.Time     // when it does
	flusher *Manager      // that started the timer last
	failing bool          // the last flush failed, which was logged
	closed  bool          // the database is being closed
}

// usageKey is the key of the usage that the managers of one name share within a database.
type usageKey struct{ name string }

func newUsage(db *storage.DB) *usage {
	u := &usage{db: db, flushing: make(chan struct{}, 1)}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// mark records that a session is used in the current slice.
func (u *usage) mark(slice int64) {
	for used := u.used.Load(); slice > used; used = u.used.Load() {
		if u.used.CompareAndSwap(used, slice) {
			return
		}
	}
}

// isLast reports whether it is certain that no session was used after newest, the latest slice in
// the index. By a clock that may be wrong, that slice has expired.
func (u *usage) isLast(newest int64, mono, timeout time.Duration) bool {
	if newest <= u.used.Load() {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if newest != u.found {
		u.found, u.since = newest, mono
	}
	return mono-u.since >= timeout
}

// defers reports whether a use in slice can be left to a flush, if the database has the session
// marked as used in the slice marked.
//
// Other processes, and this one after a crash, know only the mark. They find the session expired
// after marked + timeout at the earliest. The use is before slice + period, and its flush begins at
// most a quarter of a period after the commit. So commit and flush must take less than
//
//	timeout - (slice - marked) - 5/4 period
//
// for no process to end a session whose use is pending in another. With the limits below, that is
// half the timeout less 5/4 period, and three quarters of a period if the timeout is short. If the
// use is lost in a crash, the session lives for half the timeout after it, give or take one period.
func (m *Manager) defers(marked, slice int64) bool {
	return slice > marked && slice-marked <= min(m.timeout/2, m.timeout-2*m.period)
}

// addPending sets l.pending, for the records of the session r.
func (m *Manager) addPending(l *loaded, r ref, now int64) {
	u := m.usage
	if !l.exists || u.count.Load() == 0 || l.marked() >= m.slice(now) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if slice := u.pending[r]; !m.farAhead(slice, now) {
		l.pending = slice
	}
}

// addUse makes a use of the session r in slice pending.
func (m *Manager) addUse(r ref, slice int64) {
	u := m.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	if old, ok := u.pending[r]; ok && old >= slice && !m.farAhead(old, slice) {
		return
	}
	if u.pending == nil {
		u.pending = map[ref]int64{}
	}
	u.pending[r] = slice
	u.counted()
	u.schedule(m)
}

// schedule starts the timer of the next flush, by m, unless a flush is due earlier or running. The
// caller holds u.mu.
func (u *usage) schedule(m *Manager) {
	delay := m.config.Period / flushesPerPeriod
	due := time.Now().Add(delay)
	if u.timer != nil {
		if !due.Before(u.due) {
			return
		}
		u.timer.Stop() // by a manager with a longer period, before a reload
	}
	u.due, u.flusher = due, m
	u.timer = time.AfterFunc(delay, m.flushOnTime)
}

// flushOnTime is called by the timer. It keeps the timer until the flush has ended, so that there
// is one such flush at a time.
func (m *Manager) flushOnTime() {
	u := m.usage
	m.noteFlush(u.ctx, m.flush(u.ctx))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.timer = nil
	if len(u.pending) > 0 && !u.closed {
		u.schedule(m)
	}
}

// noteFlush logs the failure of a flush, unless the one before failed, too.
func (m *Manager) noteFlush(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	u := m.usage
	u.mu.Lock()
	failed, pending := u.failing, len(u.pending)
	u.failing = err != nil
	u.mu.Unlock()
	switch {
	case err != nil && !failed:
		m.config.Logger.WarnContext(ctx,
			"storing when sessions were last used failed: it is tried again until it succeeds",
			slog.Int("sessions", pending), slog.Any("error", err))
	case err == nil && failed:
		m.config.Logger.InfoContext(ctx, "storing when sessions were last used succeeds again")
	}
}

// Close implements [io.Closer]: it stores the pending uses when the database is closed. Uses by
// transactions that end later are lost. The error is always nil: no data of the app is lost when
// the flush fails, which is logged.
func (u *usage) Close() error {
	defer u.cancel()
	u.mu.Lock()
	u.closed = true
	m, pending := u.flusher, len(u.pending)
	if u.timer != nil {
		u.timer.Stop()
	}
	u.mu.Unlock()
	if pending == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(u.ctx, closeTimeout)
	defer cancel()
	if err := m.flush(ctx); err != nil {
		m.config.Logger.WarnContext(ctx,
			"storing when sessions were last used failed: "+
				"sessions may expire up to half a timeout early",
			slog.Int("sessions", pending), slog.Any("error", err))
	}
	return nil
}

// A use is a pending use of a session.
type use struct {
	ref   ref
	slice int64
}

// list returns the pending uses, in the order of the records in the database. It drops those that
// make no difference: the session has expired since, or the use was dated by a wrong clock.
func (u *usage) list(m *Manager) []use {
	now, adjusted := m.time()
	u.mu.Lock()
	defer u.mu.Unlock()
	uses := make([]use, 0, len(u.pending))
	for r, slice := range u.pending {
		if m.expired(slice, adjusted) || m.farAhead(slice, now) {
			delete(u.pending, r)
			continue
		}
		uses = append(uses, use{r, slice})
	}
	u.counted()
	slices.SortFunc(uses, func(a, b use) int { return bytes.Compare(a.ref[:], b.ref[:]) })
	return uses
}

// stored drops pending uses that are in the database.
func (u *usage) stored(uses []use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, use := range uses {
		if u.pending[use.ref] == use.slice { // not used again meanwhile
			delete(u.pending, use.ref)
		}
	}
	u.counted()
}

// counted sets count after a change of pending, and frees the memory of a map that has become
// empty. The caller holds u.mu.
func (u *usage) counted() {
	u.count.Store(int64(len(u.pending)))
	if len(u.pending) == 0 {
		u.pending = nil
	}
}

// flush stores the pending uses, in small transactions of its own. It waits for a flush that is
// running. Uses of sessions on which other transactions are working stay pending. The error is that
// of the database or of ctx; uses that were stored before it stay stored.
func (m *Manager) flush(ctx context.Context) error {
	u := m.usage
	if u.count.Load() == 0 {
		return nil
	}
	select {
	case u.flushing <- struct{}{}:
		defer func() { <-u.flushing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	size := newBatchSize()
	for uses := u.list(m); len(uses) > 0; {
		part := uses[:min(size.n, len(uses))]
		b, err := m.flushBatch(ctx, part)
		if err == nil {
			u.stored(part)
		}
		again, err := size.after(ctx, b, err)
		if err != nil {
			return err
		}
		if !again {
			uses = uses[len(part):]
		}
	}
	return nil
}

func (m *Manager) flushBatch(ctx context.Context, uses []use) (b batch, err error) {
	b.commit, err = m.runBatch(ctx, m.usage.db, func(_ context.Context, ts *txState) error {
		b.seen = 0 // by an earlier attempt
		for _, u := range uses {
			if err := ts.storeUse(u); err != nil {
				return err
			}
			b.seen++
		}
		return nil
	})
	return b, err
}

// storeUse stores a use, unless the session has ended or is marked as used later. It watches the
// meta record only, so that it conflicts with the end and the renewal of the session, and not with
// its requests.
func (ts *txState) storeUse(u use) error {
	var l loaded
	if err := l.readMarks(ts.data.Snapshot(), &u.ref); err != nil {
		return err
	}
	if err := ts.data.AddReadConflict(u.ref.key(kindMeta)); err != nil {
		return err
	}
	now, _ := ts.m.time()
	if !l.exists || l.marked() >= u.slice && !ts.m.farAhead(l.marked(), now) {
		return nil
	}
	return ts.mark(u.ref, &l, u.slice)
}

// mark replaces the used records of the session r by one for slice, and its index entry likewise.
// It does not depend on the used records in l, so they need not be watched: of several that
// concurrent transactions leave behind the latest counts, and the next mark or sweep deletes the
// others.
func (ts *txState) mark(r ref, l *loaded, slice int64) error {
	if l.nUses == 0 {
		if err := ts.index().Delete(r.indexKey(l.marked())); err != nil {
			return err
		}
	}
	for _, it := range l.uses() {
		if err := ts.data.Delete(it.Key); err != nil {
			return err
		}
		if err := ts.index().Delete(r.indexKey(sliceOf(it))); err != nil {
			return err
		}
	}
	if err := ts.data.Put(r.usedKey(slice), []byte{}); err != nil {
		return err
	}
	return ts.index().Put(r.indexKey(slice), []byte{})
}

// runBatch runs the transaction of a batch of a sweep or flush, and returns how long its commit
// took.
func (m *Manager) runBatch(ctx context.Context, db *storage.DB,
	work func(ctx context.Context, ts *txState) error,
) (commit time.Duration, err error) {
	var done time.Time
	err = transaction.Run(ctx, func(ctx context.Context) error {
		ts, err := m.txStateOf(ctx, db)
		if err == nil {
			err = ts.askClock(stale)
		}
		if err == nil {
			err = work(ctx, ts)
		}
		done = time.Now()
		return err
	}, transaction.Policy{Tries: 2})
	return time.Since(done), err
}
