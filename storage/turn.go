package storage

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/storage/engine"
)

// A blind retry of an optimistic transaction loses again and again when many want the same key: of 64, one wins each round. So
// those who lost queue for the turn on what they lost over: a key, or a range in which one was changed. Whoever has the turn can't
// lose over that, because nobody else can commit a write to it meanwhile; so each loser needs one more attempt. One that loses over
// something else then queues for all that it was about, so the third attempt at the latest succeeds, whatever the crowd.
const (
	// maxTurnWait is how long to queue; one who has waited longer goes on without a turn.
	maxTurnWait = 5 * time.Second
	// maxTurnHold is how long to keep others away; a slower attempt goes on without its turn.
	maxTurnHold = time.Second
	// mostSpans is for how much to queue in detail; for more, it is the whole buckets, so that the queue can be gone through fast.
	mostSpans = 32
)

// A span is what one can have the turn on: the keys from from (inclusive) to to (exclusive; empty: without end).
type span struct{ bucket, from, to string }

// single is the span of one key.
func single(bucket, key string) span { return span{bucket, key, key + "\x00"} }

func (s span) overlaps(other span) bool {
	return s.bucket == other.bucket && (s.to == "" || other.from < s.to) && (other.to == "" || s.from < other.to)
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

// A claim is what one queues for.
type claim struct {
	spans []span           // in this process
	keys  []engine.ReadKey // the same among processes, as far as it is single keys, and few
}

// and returns what is in c or other, or a little more.
func (c claim) and(other claim) claim {
	all := claim{slices.Concat(c.spans, other.spans), slices.Concat(c.keys, other.keys)}
	slices.SortFunc(all.spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.from, b.from)) })
	all.spans = slices.CompactFunc(all.spans, func(a, b span) bool { return a == b })
	if len(all.spans) > mostSpans {
		all.spans = slices.CompactFunc(all.spans, func(a, b span) bool { return a.bucket == b.bucket })
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

// claimOf is what a transaction that did c is about.
func claimOf(c *engine.Changes) claim {
	var all claim
	for _, r := range c.Reads {
		all.spans, all.keys = append(all.spans, single(r.Bucket, r.Key)), append(all.keys, r)
	}
	for _, r := range c.Ranges {
		all.spans = append(all.spans, span{r.Bucket, r.From, r.To})
	}
	for _, w := range c.Writes {
		all.spans, all.keys = append(all.spans, single(w.Bucket, w.Key)), append(all.keys, engine.ReadKey{Bucket: w.Bucket, Key: w.Key})
	}
	return claim{}.and(all)
}

// A turn is the right to be the only one who commits writes to some spans, or the wish for it.
type turn struct {
	claim
	about  claim         // what the attempts that lost were about, of which claim may be a part only
	before int           // how many turns in the queue have to go first
	come   chan struct{} // closed when there is none
	pass   func()        // gives it back; nil while it has not come
}

func (t *turn) overlaps(other *turn) bool {
	return slices.ContainsFunc(t.spans, func(s span) bool { return slices.ContainsFunc(other.spans, s.overlaps) })
}

// turns are the turns of one database, in this process.
type turns struct {
	turner   engine.KeyLocker // nil: no other process uses the database
	mu       sync.Mutex       // guards the rest
	queue    []*turn          // in the order in which they came; one has come when it overlaps with none before it
	admitted map[*admission]struct{}
}

// An admission is a commit that nobody's turn forbids, and that is not decided yet.
type admission struct {
	writes  []engine.Write
	decided chan struct{} // closed when it is; nil while nobody waits for it
}

// turnContext is the context key of a turn; a context may carry one of each database.
type turnContext struct{ of *turns }

// held returns the turn that ctx carries; it may have lapsed.
func (ts *turns) held(ctx context.Context) *turn {
	t, _ := ctx.Value(turnContext{ts}).(*turn)
	return t
}

// admit returns a conflict if somebody else has the turn on a key that is about to be written. Otherwise a is under way until
// discharge.
func (ts *turns) admit(a *admission, writes []engine.Write, mine *turn) *ConflictError {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.queue {
		if t == mine || t.before > 0 {
			continue
		}
		for _, s := range t.spans {
			if w, ok := s.written(writes); ok {
				return &ConflictError{Bucket: w.Bucket, Key: []byte(w.Key)}
			}
		}
	}
	if ts.admitted == nil {
		ts.admitted = make(map[*admission]struct{})
	}
	a.writes = writes
	ts.admitted[a] = struct{}{}
	return nil
}

// discharge may be called for what was not admitted, too.
func (ts *turns) discharge(a *admission) {
	if a.writes == nil {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.admitted, a)
	a.writes = nil
	if a.decided != nil {
		close(a.decided)
	}
}

// underWay returns channels that are closed when what is about to write to t's spans now is decided, or can be seen: what was admitted
// before somebody got the turn may still make him lose.
func (ts *turns) underWay(t *turn) (decided []<-chan struct{}) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for a := range ts.admitted {
		if slices.ContainsFunc(t.spans, func(s span) bool { _, ok := s.written(a.writes); return ok }) {
			if a.decided == nil {
				a.decided = make(chan struct{})
			}
			decided = append(decided, a.decided)
		}
	}
	return decided
}

// waitFor gives back what is held, and waits until t has come.
func (ts *turns) waitFor(ctx context.Context, held, t *turn) (context.Context, func(), error) {
	if held != nil {
		ts.release(held)
	}
	t.come = make(chan struct{})
	patience, cancel := context.WithTimeout(ctx, maxTurnWait)
	defer cancel()
	ts.enqueue(t)
	come := wait(patience, t.come)
	if come {
		for _, decided := range ts.underWay(t) {
			come = come && wait(patience, decided)
		}
	}
	if !come {
		ts.release(t)
		return ctx, func() {}, ctx.Err() // nil if it took too long: on without a turn
	}
	pass := func() {}
	if ts.turner != nil {
		free, err := ts.turner.LockKeys(patience, t.keys)
		switch {
		case err == nil:
			pass = free
		case ctx.Err() != nil:
			ts.release(t)
			return ctx, func() {}, ctx.Err()
		}
	}
	release := sync.OnceFunc(func() {
		pass()
		ts.release(t)
	})
	lapse := time.AfterFunc(maxTurnHold, release)
	t.pass = func() { lapse.Stop(); release() }
	return context.WithValue(ctx, turnContext{ts}, t), t.pass, nil
}

func wait(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

func (ts *turns) enqueue(t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, other := range ts.queue {
		if other.overlaps(t) {
			t.before++
		}
	}
	if t.before == 0 {
		close(t.come)
	}
	ts.queue = append(ts.queue, t)
}

// release takes t out of the queue, whether it has come or not. It may be called again.
func (ts *turns) release(t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	i := slices.Index(ts.queue, t)
	if i < 0 {
		return
	}
	ts.queue = slices.Delete(ts.queue, i, i+1)
	for _, later := range ts.queue[i:] {
		if later.overlaps(t) {
			if later.before--; later.before == 0 {
				close(later.come)
			}
		}
	}
}
