package storage

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// A blind retry of an optimistic transaction loses again and again when many want the same key: of 64, one wins each round. So
// those who lost queue for the turn on the key. Whoever has the turn can't lose over that key, because nobody else can commit a
// write to it meanwhile; so each loser needs one more attempt, two if it loses over another key, whatever the crowd.
const (
	// maxTurnWait is how long to queue; one who has waited longer goes on without a turn.
	maxTurnWait = 5 * time.Second
	// maxTurnHold is how long to keep others away; a slower attempt goes on without its turn.
	maxTurnHold = time.Second
)

// A turnKey is what one can have the turn on.
type turnKey struct{ bucket, key string }

func (k turnKey) compare(other turnKey) int {
	return cmp.Or(cmp.Compare(k.bucket, other.bucket), cmp.Compare(k.key, other.key))
}

// A turn is the right to be the only one who commits writes to some keys.
type turn struct {
	keys []turnKey // sorted; all are waited for in this order, so that two can't wait for each other
}

// turns are the turns of one database, in this process.
type turns struct {
	mu       sync.Mutex // guards the rest
	queues   map[turnKey]*turnQueue
	admitted map[*admission]struct{}
}

// An admission is a commit that nobody's turn forbids, and that is not decided yet.
type admission struct {
	writes  []Write
	decided chan struct{} // closed when it is; nil while nobody waits for it
}

// A turnQueue is there as long as somebody has the turn.
type turnQueue struct {
	holder  *turn
	waiting []waitingTurn
}

type waitingTurn struct {
	turn *turn
	come chan struct{} // closed when it holds
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
func (ts *turns) admit(a *admission, writes []Write, mine *turn) *ConflictError {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.queues) > 0 {
		for _, w := range writes {
			if q := ts.queues[turnKey{w.Bucket, w.Key}]; q != nil && q.holder != mine {
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

// underWay returns channels that are closed when what is about to write key now is decided: what was admitted before somebody got the
// turn may still make him lose.
func (ts *turns) underWay(key turnKey) (decided []<-chan struct{}) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for a := range ts.admitted {
		_, found := slices.BinarySearchFunc(a.writes, key, func(w Write, key turnKey) int {
			return turnKey{w.Bucket, w.Key}.compare(key)
		})
		if found {
			if a.decided == nil {
				a.decided = make(chan struct{})
			}
			decided = append(decided, a.decided)
		}
	}
	return decided
}

// wait gives back what is held and waits for the turn on all that was held, and on lost.
func (ts *turns) wait(ctx context.Context, held *turn, lost turnKey) (context.Context, func(), error) {
	t := &turn{keys: []turnKey{lost}}
	if held != nil {
		ts.release(held)
		t.keys = append(t.keys, held.keys...)
	}
	slices.SortFunc(t.keys, turnKey.compare)
	t.keys = slices.Compact(t.keys)

	patience, cancel := context.WithTimeout(ctx, maxTurnWait)
	defer cancel()
	if !ts.take(patience, t) {
		ts.release(t)
		return ctx, func() {}, ctx.Err() // nil if it took too long: on without a turn
	}
	lapse := time.AfterFunc(maxTurnHold, func() { ts.release(t) })
	release := func() {
		lapse.Stop()
		ts.release(t)
	}
	return context.WithValue(ctx, turnContext{ts}, t), release, nil
}

// take waits for all of t's keys, in order. It reports false when ctx is done.
func (ts *turns) take(ctx context.Context, t *turn) bool {
	for _, key := range t.keys {
		if !wait(ctx, ts.enqueue(key, t)) {
			return false
		}
		for _, decided := range ts.underWay(key) {
			if !wait(ctx, decided) {
				return false
			}
		}
	}
	return true
}

func wait(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

// enqueue returns a channel that is closed when t has the turn on key.
func (ts *turns) enqueue(key turnKey, t *turn) <-chan struct{} {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	come := make(chan struct{})
	if q := ts.queues[key]; q != nil {
		q.waiting = append(q.waiting, waitingTurn{t, come})
		return come
	}
	if ts.queues == nil {
		ts.queues = make(map[turnKey]*turnQueue)
	}
	ts.queues[key] = &turnQueue{holder: t}
	close(come)
	return come
}

// release passes on what t holds, and leaves the queues that it waits in. It may be called again.
func (ts *turns) release(t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, key := range t.keys {
		q := ts.queues[key]
		switch {
		case q == nil:
		case q.holder != t:
			q.waiting = slices.DeleteFunc(q.waiting, func(w waitingTurn) bool { return w.turn == t })
		case len(q.waiting) == 0:
			delete(ts.queues, key)
		default:
			next := q.waiting[0]
			q.waiting = slices.Delete(q.waiting, 0, 1)
			q.holder = next.turn
			close(next.come)
		}
	}
}
