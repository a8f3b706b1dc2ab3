package storage

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage/engine"
)

// Under contention, optimistic transactions that simply retry keep losing: of all that want the
// same key, one succeeds per round. So transactions that lost queue for the contended key, or for
// the range in which a key has changed. While one holds the ticket at the head of the queue, no
// other transaction in this process may commit a write to it, so it can't lose over that again, and
// each loser needs one more attempt. One that then loses over something else queues for all that it
// has read and written, so the third attempt at the latest succeeds, whatever the load.
const (
	// maxTicketWait is the longest time in the queue; after it a transaction goes on without a
	// ticket.
	maxTicketWait = 5 * time.Second
	// maxTicketHold is the longest time that a ticket is held; a slower attempt goes on without it.
	maxTicketHold = time.Second
	// mostSpans is the most spans of a ticket; beyond it, it covers whole buckets, so that
	// searching the queue stays fast.
	mostSpans = 32
)

// A span is a range of keys of one bucket, from from (inclusive) to to (exclusive; empty:
// unbounded).
type span struct{ bucket, from, to string }

// single returns the span of one key.
func single(bucket, key string) span { return span{bucket, key, key + "\x00"} }

// shown returns the key or the range as listeners get it.
func (s span) shown() string {
	if s.to == s.from+"\x00" {
		return observe.Key(s.from)
	}
	return observe.KeyRange(s.from, s.to)
}

func (s span) overlaps(other span) bool {
	return s.bucket == other.bucket && (s.to == "" || other.from < s.to) &&
		(other.to == "" || s.from < other.to)
}

// written returns the first of writes, which are sorted, that lies in s.
func (s span) written(writes []engine.Write) (engine.Write, bool) {
	i, _ := slices.BinarySearchFunc(writes, s, func(w engine.Write, s span) int {
		return cmp.Or(cmp.Compare(w.Bucket, s.bucket), cmp.Compare(w.Key, s.from))
	})
	if i < len(writes) && writes[i].Bucket == s.bucket && (s.to == "" || writes[i].Key < s.to) {
		return writes[i], true
	}
	return engine.Write{}, false
}

// A claim is the keys that a ticket covers.
type claim struct {
	spans []span           // in this process
	keys  []engine.ReadKey // for other processes: the single keys of spans, if they are few
}

// and returns a claim that covers at least c and other.
func (c claim) and(other claim) claim {
	all := claim{slices.Concat(c.spans, other.spans), slices.Concat(c.keys, other.keys)}
	slices.SortFunc(all.spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.from, b.from))
	})
	all.spans = slices.CompactFunc(all.spans, func(a, b span) bool { return a == b })
	if len(all.spans) > mostSpans {
		all.spans = slices.CompactFunc(all.spans,
			func(a, b span) bool { return a.bucket == b.bucket })
		for i := range all.spans {
			all.spans[i] = span{bucket: all.spans[i].bucket}
		}
	}
	slices.SortFunc(all.keys, func(a, b engine.ReadKey) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	all.keys = slices.Compact(all.keys)
	if len(all.keys) > mostSpans {
		all.keys = c.keys
	}
	return all
}

// ranges returns the ranges that c covers.
func (c claim) ranges() []engine.ReadRange {
	ranges := make([]engine.ReadRange, len(c.spans))
	for i, s := range c.spans {
		ranges[i] = engine.ReadRange{Bucket: s.bucket, From: s.from, To: s.to}
	}
	return ranges
}

// claimOf returns the claim on all keys that c reads or writes.
func claimOf(c *engine.Changes) claim {
	var all claim
	for _, r := range c.Reads {
		all.spans, all.keys = append(all.spans, single(r.Bucket, r.Key)), append(all.keys, r)
	}
	for _, r := range c.Ranges {
		all.spans = append(all.spans, span{r.Bucket, r.From, r.To})
	}
	for _, w := range c.Writes {
		all.spans = append(all.spans, single(w.Bucket, w.Key))
		all.keys = append(all.keys, engine.ReadKey{Bucket: w.Bucket, Key: w.Key})
	}
	return claim{}.and(all)
}

// A ticket is a place in the queue for a claim. At the head of the queue it holds the exclusive
// right to commit writes to its spans.
type ticket struct {
	claim
	by string // the request or job, if it has listeners
	// all that the lost attempts have read and written; claim may be a part of it
	about   claim
	before  int           // the number of overlapping tickets before it in the queue
	ahead   int           // before, at the time when it was queued
	granted chan struct{} // closed when before is 0
	release func()        // nil until it is granted
}

func (t *ticket) overlaps(other *ticket) bool {
	return slices.ContainsFunc(t.spans,
		func(s span) bool { return slices.ContainsFunc(other.spans, s.overlaps) })
}

// keyQueue is the queue for the contended keys of one database, in this process.
type keyQueue struct {
	db     string           // the name of the database
	locker engine.KeyLocker // nil: no other process uses the database
	mu     sync.Mutex       // guards the rest
	// in order of arrival; a ticket is granted if it overlaps with none before it
	queue    []*ticket
	admitted map[*admission]struct{}
}

// An admission is a commit that passed the queue check and is still in flight.
type admission struct {
	writes  []engine.Write
	decided chan struct{} // closed when the commit is decided; nil without a waiter
}

// ticketContext is the context key of a ticket; a context may carry one for each database.
type ticketContext struct{ of *keyQueue }

// held returns the ticket that ctx carries; it may have expired.
func (q *keyQueue) held(ctx context.Context) *ticket {
	t, _ := ctx.Value(ticketContext{q}).(*ticket)
	return t
}

// admit returns a conflict if another transaction holds a ticket for a key in writes. Otherwise a
// counts as in flight until discharge.
func (q *keyQueue) admit(a *admission, writes []engine.Write, mine *ticket) *ConflictError {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.queue {
		if t == mine || t.before > 0 {
			continue
		}
		for _, s := range t.spans {
			if w, ok := s.written(writes); ok {
				return &ConflictError{Bucket: w.Bucket, Key: []byte(w.Key), By: t.by}
			}
		}
	}
	if q.admitted == nil {
		q.admitted = make(map[*admission]struct{})
	}
	a.writes = writes
	q.admitted[a] = struct{}{}
	return nil
}

// discharge marks a's commit as decided. It may be called for a commit that was not admitted, too.
func (q *keyQueue) discharge(a *admission) {
	if a.writes == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.admitted, a)
	a.writes = nil
	if a.decided != nil {
		close(a.decided)
	}
}

// inFlight returns a channel for each admitted commit that writes to t's spans; each is closed when
// that commit is decided or visible. A commit admitted before t was granted can still conflict with
// t's transaction.
func (q *keyQueue) inFlight(t *ticket) (decided []<-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for a := range q.admitted {
		if slices.ContainsFunc(t.spans, func(s span) bool {
			_, ok := s.written(a.writes)
			return ok
		}) {
			if a.decided == nil {
				a.decided = make(chan struct{})
			}
			decided = append(decided, a.decided)
		}
	}
	return decided
}

// waitFor releases held, if not nil, and waits until t is granted. It tells listeners of the wait.
func (q *keyQueue) waitFor(ctx context.Context, held, t *ticket) (context.Context, func(), error) {
	seen := observe.FromContext(ctx)
	if !seen.Listening() {
		return q.wait(ctx, held, t)
	}
	t.by = seen.Name()
	start := time.Now()
	next, release, err := q.wait(ctx, held, t)
	fact := observe.Queue{
		DB: q.db, Ahead: t.ahead, Granted: t.release != nil,
		Start: start, Duration: time.Since(start),
	}
	if len(t.spans) == 1 {
		fact.Bucket, fact.Key = t.spans[0].bucket, t.spans[0].shown()
	}
	seen.Queued(ctx, fact)
	return next, release, err
}

func (q *keyQueue) wait(ctx context.Context, held, t *ticket) (context.Context, func(), error) {
	if held != nil {
		q.release(held)
	}
	t.granted = make(chan struct{})
	limited, cancel := context.WithTimeout(ctx, maxTicketWait)
	defer cancel()
	q.enqueue(t)
	granted := wait(limited, t.granted)
	if granted {
		for _, decided := range q.inFlight(t) {
			granted = granted && wait(limited, decided)
		}
	}
	if !granted {
		q.release(t)
		return ctx, func() {}, ctx.Err() // nil after a time-out: the attempt runs without a ticket
	}
	unlock := func() {}
	if q.locker != nil {
		free, err := q.locker.LockKeys(limited, t.keys)
		switch {
		case err == nil:
			unlock = free
		case ctx.Err() != nil:
			q.release(t)
			return ctx, func() {}, ctx.Err()
		}
	}
	release := sync.OnceFunc(func() {
		unlock()
		q.release(t)
	})
	lapse := time.AfterFunc(maxTicketHold, release)
	t.release = func() { lapse.Stop(); release() }
	return context.WithValue(ctx, ticketContext{q}, t), t.release, nil
}

func wait(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

func (q *keyQueue) enqueue(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, other := range q.queue {
		if other.overlaps(t) {
			t.before++
		}
	}
	t.ahead = t.before
	if t.before == 0 {
		close(t.granted)
	}
	q.queue = append(q.queue, t)
}

// release removes t from the queue, granted or not. It may be called again.
func (q *keyQueue) release(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.queue, t)
	if i < 0 {
		return
	}
	q.queue = slices.Delete(q.queue, i, i+1)
	for _, later := range q.queue[i:] {
		if later.overlaps(t) {
			if later.before--; later.before == 0 {
				close(later.granted)
			}
		}
	}
}
