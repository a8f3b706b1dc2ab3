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

// A request is a transaction that is to be committed.
type request struct {
	changes *engine.Changes
	view    *view
	err     error // set by its group's leader, or with the queue locked
	kept    bool  // committed, in an update of its own, before other members of its group
}

// A group is the commits that are written together.
type group struct {
	requests []*request // in the order in which they were accepted
	last     uint64     // the number of the last one
	// their writes, for speculative views; nil before the first
	writes *btree.BTreeG[engine.Write]
	// a member was rejected after speculative readers may have seen its writes
	failed bool
	ended  bool
	done   chan struct{} // closed when the group has ended; nil without a waiter
}

// queue orders the commits and forms the groups.
type queue struct {
	synced atomic.Uint64         // the last bbolt transaction known to be on the disk: see isSynced
	shown  atomic.Pointer[shown] // which commits a snapshot of bbolt shows

	mu        sync.Mutex // guards the rest, and the engine's history
	last      uint64     // the number of the last accepted commit
	running   *group     // the group that is being written; nil: none
	gathering *group     // the next group; nil: it has no member yet
}

// shown says which commits the snapshots of bbolt show. It changes when a group's write begins and
// when the group has ended.
type shown struct {
	last uint64 // all commits up to this one are decided, and shown unless they failed

	nextID, nextLast uint64 // the bbolt transaction being written, and its last commit; 0: none
}

// upTo returns the last commit that the bbolt transaction id shows.
func (s *shown) upTo(id uint64) uint64 {
	if s.nextID != 0 && id >= s.nextID {
		return s.nextLast
	}
	return s.last
}

// errReadFailed is the error of a transaction that had read the writes of a commit that failed.
var errReadFailed = transaction.Transient(errors.New("data that it had read was not committed"))

// commit adds r to a group, and returns when it is decided. The first member of a group leads it,
// on its own goroutine, as soon as the group before has ended; the others only wait.
func (e *database) commit(r *request) error {
	q := &e.queue
	g, leads, err := e.accept(r)
	if err != nil {
		if g != nil {
			// Until that group has ended, another attempt would only lose again and use up its
			// tries.
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
		// Let the members of the ended group run first, so that their next commits join this one.
		// Otherwise groups of one member and groups of all others would alternate, which halves the
		// throughput.
		runtime.Gosched()
	}
	defer e.place.tell()
	defer e.end(g)
	e.run(g)
	return r.err
}

// accept validates r against all commits accepted before, decided or not, and adds it to the
// gathering group, which r leads if it is the first. If r can't be committed it returns the reason,
// and the newest group that may have caused it, if any.
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
	if r.view.readFailed() {
		return cmp.Or(q.gathering, q.running), false, errReadFailed
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

// start makes g the running group. If another group is running, it instead returns a channel that
// is closed when that has ended.
func (q *queue) start(g *group) (before <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != nil {
		return q.running.decided()
	}
	q.running, q.gathering = g, nil
	return nil
}

// isSynced records that the bbolt transaction id and all before it are on the disk.
func (q *queue) isSynced(id uint64) {
	for before := q.synced.Load(); before < id && !q.synced.CompareAndSwap(before, id); {
		before = q.synced.Load()
	}
}

// writing records that the bbolt transaction id is going to show all commits up to last.
func (q *queue) writing(id, last uint64) {
	before := q.shown.Load()
	decided := before.last
	// an earlier update of the same group has committed
	if before.nextID != 0 && before.nextID < id {
		decided = before.nextLast
	}
	q.shown.Store(&shown{last: decided, nextID: id, nextLast: last})
}

// end marks g as finished and wakes its members, the next leader and waiting readers. Transactions
// that have read the writes of a failed member fail too.
func (e *database) end(g *group) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	g.failed = g.failed || slices.ContainsFunc(g.requests,
		func(r *request) bool { return r.err != nil })
	if g.failed && q.gathering != nil {
		q.gathering.rejectDependents()
	}
	q.running = nil
	q.shown.Store(&shown{last: g.last})
	e.history.Decide(g.last)
	g.ended = true
	// their views refer to the previous group: don't keep a chain of them
	g.requests, g.writes = nil, nil
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

// decided returns a channel that is closed when g has ended.
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

// accepted returns the members that were not rejected.
func (g *group) accepted() []*request { return notRejected(g.requests) }

func notRejected(requests []*request) []*request {
	refused := func(r *request) bool { return r.err != nil }
	if !slices.ContainsFunc(requests, refused) {
		return requests
	}
	return slices.DeleteFunc(slices.Clone(requests), refused)
}

// rejectDependents rejects members that have read a failed write, and then members that have read
// theirs.
func (g *group) rejectDependents() {
	for _, r := range g.requests {
		if r.err == nil && !r.kept && r.view.readFailed() {
			r.err = errReadFailed
			g.failed = true
		}
	}
}
