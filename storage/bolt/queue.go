package bolt

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A request is a transaction that wants to commit.
type request struct {
	changes *engine.Changes
	view    *view
	err     error // set by its group's leader, or with the queue locked
	kept    bool  // committed, before others of its group
}

// A group is written together.
type group struct {
	requests []*request                  // in the order in which they were accepted
	last     uint64                      // the number of the last of them
	writes   *btree.BTreeG[engine.Write] // what they write, for those who begin early; nil: nobody has yet
	fell     bool                        // one of them was not committed, after others may have read what it writes
	ended    bool
	done     chan struct{} // closed when it has ended; nil while nobody waits for that
}

// queue puts the commits in order, and forms the groups.
type queue struct {
	synced atomic.Uint64         // the last of bbolt's transactions that is known to be on the disk: see isSynced
	shown  atomic.Pointer[shown] // what a snapshot of bbolt shows

	mu        sync.Mutex // guards the rest, and the engine's history
	last      uint64     // the number of the last commit that was accepted
	running   *group     // nil: nobody is at work
	gathering *group     // the next one; nil: nobody has come yet
}

// shown says which commits the snapshots of bbolt show. It changes when a group begins to write, and when it has ended.
type shown struct {
	last uint64 // all commits up to this one are decided, and shown if they did not fail

	nextID, nextLast uint64 // bbolt's transaction that is being written, and the last commit in it; 0: none
}

// upTo returns the last commit that bbolt's transaction id shows.
func (s *shown) upTo(id uint64) uint64 {
	if s.nextID != 0 && id >= s.nextID {
		return s.nextLast
	}
	return s.last
}

// errNotKept is the error of a transaction that had read what failed to be committed then.
var errNotKept = transaction.Transient(errors.New("what it had read was not committed in the end"))

// commit puts r in order, and returns when it is decided. The first of a group leads it, on its own goroutine, as soon as the group
// before has ended; the others only wait.
func (e *database) commit(r *request) error {
	q := &e.queue
	g, leads, err := e.accept(r)
	if err != nil {
		if g != nil {
			// Until that has ended another attempt would only lose again, and use up its tries.
			<-q.decided(g)
		}
		return err
	}
	if r.changes.Accepted != nil {
		r.changes.Accepted()
	}
	if !leads {
		<-q.decided(g)
		return r.err
	}
	for before := q.start(g); before != nil; before = q.start(g) {
		<-before
		// The members of the last group run on before this one starts, so that their next commits are in it: without this,
		// groups of one and of all the others alternate, with half the throughput.
		runtime.Gosched()
	}
	defer e.place.tell()
	defer e.end(g)
	e.run(g)
	return r.err
}

// accept validates r against all that was accepted before, decided or not, and gives it its place: in g, which it leads if it is the
// first. Or it returns why r can't be committed, and the group that may have been the reason, if there is one.
func (e *database) accept(r *request) (g *group, leads bool, err error) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if broken := e.broken.Load(); broken != nil {
		return nil, false, *broken
	}
	if conflict := e.history.Validate(r.changes, r.view.seen); conflict != nil {
		return cmp.Or(q.gathering, q.running), false, conflict
	}
	if r.view.misled() {
		return cmp.Or(q.gathering, q.running), false, errNotKept
	}
	r.view.release()
	q.last++
	e.history.Accept(q.last, r.changes.Writes)
	if leads = q.gathering == nil; leads {
		q.gathering = &group{}
	}
	q.gathering.add(r, q.last)
	return q.gathering, leads, nil
}

// start makes g the running group, unless there is one: then it returns what is closed when that has ended.
func (q *queue) start(g *group) (before <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != nil {
		return q.running.decided()
	}
	q.running, q.gathering = g, nil
	return nil
}

// isSynced tells that bbolt's transaction id, and all before it, are on the disk.
func (q *queue) isSynced(id uint64) {
	for before := q.synced.Load(); before < id && !q.synced.CompareAndSwap(before, id); {
		before = q.synced.Load()
	}
}

// writing tells that bbolt's transaction id is going to show all commits up to last.
func (q *queue) writing(id, last uint64) {
	before := q.shown.Load()
	decided := before.last
	if before.nextID != 0 && before.nextID < id { // of the same group, and committed
		decided = before.nextLast
	}
	q.shown.Store(&shown{last: decided, nextID: id, nextLast: last})
}

// end wakes all who wait for g at once: its members, the leader of the next group, and readers. If a member failed, those who had read
// what it was to write fail with it.
func (e *database) end(g *group) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	g.fell = g.fell || slices.ContainsFunc(g.requests, func(r *request) bool { return r.err != nil })
	if g.fell && q.gathering != nil {
		q.gathering.refuseMisled()
	}
	q.running = nil
	q.shown.Store(&shown{last: g.last})
	e.history.Decide(g.last)
	g.ended = true
	g.requests, g.writes = nil, nil // their views know of the group before, which would stay in memory, and so on
	if g.done != nil {
		close(g.done)
	}
}

func (q *queue) decided(g *group) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return g.decided()
}

// The methods of a group are called with the queue locked.

// decided returns what is closed when g has ended.
func (g *group) decided() <-chan struct{} {
	if g.done == nil {
		g.done = make(chan struct{})
		if g.ended {
			close(g.done)
		}
	}
	return g.done
}

func (g *group) add(r *request, number uint64) {
	g.requests = append(g.requests, r)
	g.last = number
	if g.writes != nil {
		setAll(g.writes, r)
	}
}

// accepted returns the members that were not refused.
func (g *group) accepted() []*request { return notRefused(g.requests) }

func notRefused(requests []*request) []*request {
	refused := func(r *request) bool { return r.err != nil }
	if !slices.ContainsFunc(requests, refused) {
		return requests
	}
	return slices.DeleteFunc(slices.Clone(requests), refused)
}

// refuseMisled refuses those who had read what was not kept, and those who had read what these were to write.
func (g *group) refuseMisled() {
	for _, r := range g.requests {
		if r.err == nil && !r.kept && r.view.misled() {
			r.err = errNotKept
			g.fell = true
		}
	}
}
