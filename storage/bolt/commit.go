package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// This file is the way of a commit, in the order in which it happens:
//
//	commit            called by view.Commit
//	  accept          validates the transaction, and adds it to the gathering group
//	  lead            done by the first member of a group, when the group before has ended
//	    write         writes all members
//	      writeTx     one bbolt transaction, one fsync
//	    end           rejects the dependents of failed members, and wakes the members
//	awaitReads        the whole commit of a transaction without writes

// A request is a transaction that is being committed.
type request struct {
	changes *engine.Changes
	view    *view
	group   *group // that r was accepted in; nil: none
	err     error  // why it was rejected; set by the leader of its group, or with the queue locked
	written bool   // by writeOneByOne, before other members of its group
}

// A group is the commits that are written together.
type group struct {
	members []*request // in the order in which they were accepted
	last    uint64     // the number of the last member
	size    int        // the number of members; the leader sets this and the next two
	began   time.Time  // when the write began
	took    time.Duration
	// the members' writes, for overlays; nil until a speculative view needs them
	writes *btree.BTreeG[engine.Write]
	// a member was rejected after speculative views may have shown its writes
	failed  bool
	ended   bool
	endedCh chan struct{} // closed when the group has ended; nil if no goroutine waits for that
}

// A commitQueue orders the commits and forms the groups.
type commitQueue struct {
	synced  atomic.Uint64              // the last bbolt transaction known to be on the disk
	visible atomic.Pointer[visibility] // the commits that a snapshot of bbolt shows

	mu        sync.Mutex // guards the rest, and the engine's history
	last      uint64     // the number of the last accepted commit
	running   *group     // the group that is being written; nil: none
	gathering *group     // the next group; nil: it has no member yet
}

// commit adds r to a group and returns when the group has ended. The first member of a group leads
// it, on its own goroutine; the others only wait.
func (e *database) commit(r *request) error {
	q := &e.queue
	g, leads, err := e.accept(r)
	if err != nil {
		if g != nil {
			// Until that group has ended, another attempt would only lose again and use up its
			// tries.
			q.await(g)
		}
		return err
	}
	r.group = g
	if r.changes.Accepted != nil {
		r.changes.Accepted()
	}
	if leads {
		e.lead(g)
	} else {
		q.await(g)
	}
	return r.err
}

// accept validates r against all commits accepted before, written or not, and adds it to the
// gathering group, which r leads if it is the first member. If r can't be committed, accept returns
// the reason, and the newest group that may have caused it, if any.
func (e *database) accept(r *request) (g *group, leads bool, err error) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if broken := e.broken.Load(); broken != nil {
		return nil, false, *broken
	}
	if conflict := e.history.Validate(r.changes, r.view.lastCommit); conflict != nil {
		return cmp.Or(q.gathering, q.running), false, conflict
	}
	if r.view.dependencyFailed() {
		return cmp.Or(q.gathering, q.running), false, errDependencyFailed
	}
	r.view.releaseHistory()
	q.last++
	e.history.Accept(q.last, r.changes)
	if leads = q.gathering == nil; leads {
		q.gathering = &group{}
	}
	g = q.gathering
	g.members = append(g.members, r)
	g.last = q.last
	if g.writes != nil {
		setAll(g.writes, r)
	}
	return g, leads, nil
}

// lead waits until the group before g has ended, while further members join g, then writes g and
// ends it.
func (e *database) lead(g *group) {
	for before := e.queue.start(g); before != nil; before = e.queue.start(g) {
		<-before
		// Let the members of the ended group run first, so that their next commits join g.
		// Otherwise groups of one member and groups of all others would alternate, which halves the
		// throughput.
		runtime.Gosched()
	}
	defer e.location.flushLog()
	defer e.end(g)
	g.size, g.began = len(g.members), time.Now()
	e.write(g)
	g.took = time.Since(g.began)
}

// start makes g the running group. If another group is running, it instead returns a channel that
// is closed when that has ended.
func (q *commitQueue) start(g *group) (before <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != nil {
		return q.running.done()
	}
	q.running, q.gathering = g, nil
	return nil
}

// write commits the members of g, and sets the err of each that fails. If it panics, members get an
// error rather than nil, which they would take for success.
func (e *database) write(g *group) {
	finished := false
	defer func() {
		p := recover()
		switch {
		case finished:
		case p == nil:
			g.fail(e.failInDoubt(errors.New("the goroutine was ended")))
		default:
			g.fail(e.failInDoubt(&transaction.PanicError{Value: p, Stack: debug.Stack()}))
		}
	}()
	if broken := e.broken.Load(); broken != nil {
		g.fail(*broken)
	} else if members := notRejected(g.members); len(members) > 0 {
		err := e.writeTx(g, members, g.last)
		if _, full := errors.AsType[*fullError](err); full && len(members) > 1 {
			e.writeOneByOne(g)
		} else if err != nil {
			g.fail(err)
		}
	}
	finished = true
}

// writeTx writes members of g, of which the last has the number last, in one bbolt transaction.
func (e *database) writeTx(g *group, members []*request, last uint64) error {
	e.check.await()
	e.lockWriter()
	defer e.unlockWriter()
	if err := e.checkWritable(false); err != nil {
		return err
	}
	e.used.Store(true)
	tx, err := e.begin(true)
	if err != nil {
		return err
	}
	if err := e.isOwn(tx); err != nil {
		return errors.Join(e.failOverwritten(err), rollback(tx))
	}
	id := txID(tx)
	e.queue.beginWrite(id, last)
	if err := e.fill(tx, g, members); err != nil {
		return e.undo(tx, id, err)
	}
	failpoint.Here("bolt: decision recorded")
	if err := e.commitGuarded(tx); err != nil {
		return e.undo(tx, id, err)
	}
	failpoint.Here("bolt: committed")
	if err := e.location.recordMeta(id); err != nil {
		return fmt.Errorf("%w: %w", transaction.ErrInDoubt, e.failOverwritten(err))
	}
	e.queue.markSynced(id)
	return nil
}

// fill puts the members' decisions and writes into tx.
func (e *database) fill(tx *bbolt.Tx, g *group, members []*request) error {
	members, err := e.recordDecisions(tx, g, members)
	if err != nil {
		return err
	}
	return apply(tx, merge(members))
}

// recordDecisions records which transactions with prepared work in other databases the members
// commit. It rejects members that recovery has aborted meanwhile, and their dependents, and returns
// the others.
func (e *database) recordDecisions(tx *bbolt.Tx, g *group,
	members []*request,
) (remaining []*request, err error) {
	defer guard(protect(), &err)
	if err := unrecord(tx, e.forgotten.drain()); err != nil {
		return nil, err
	}
	aborted := false
	for _, r := range members {
		if id := r.changes.Decision; id != "" {
			if known, _ := decided(tx, id); known {
				aborted = true
				r.err = errAborted
			}
		}
	}
	if aborted {
		e.queue.mu.Lock()
		g.failed = true
		g.rejectDependents()
		members = notRejected(members)
		e.queue.mu.Unlock()
	}
	for _, r := range members {
		if id := r.changes.Decision; id != "" {
			if err := record(tx, id, decision(time.Now())); err != nil {
				return nil, err
			}
		}
	}
	return members, nil
}

// merge returns the members' writes sorted by bucket and key, so that bbolt visits each page once.
func merge(members []*request) []engine.Write {
	if len(members) == 1 {
		return members[0].changes.Writes
	}
	n := 0
	for _, r := range members {
		n += len(r.changes.Writes)
	}
	all := make([]engine.Write, 0, n)
	for _, r := range members {
		all = append(all, r.changes.Writes...)
	}
	return lastWrites(all)
}

func apply(tx *bbolt.Tx, writes []engine.Write) (err error) {
	defer guard(protect(), &err)
	var b *bbolt.Bucket
	for i, w := range writes {
		if i == 0 || w.Bucket != writes[i-1].Bucket {
			if b, err = tx.CreateBucketIfNotExists([]byte(w.Bucket)); err != nil {
				return err
			}
		}
		if w.Value == nil {
			err = b.Delete([]byte(w.Key))
		} else {
			err = b.Put([]byte(w.Key), w.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// undo rolls tx back after err, finds out whether it may have been applied nonetheless, and returns
// the error of its members.
func (e *database) undo(tx *bbolt.Tx, id uint64, err error) error {
	if rollbackErr := rollback(tx); rollbackErr != nil {
		return e.failInDoubt(fmt.Errorf("%w; %w", err, rollbackErr)) // bbolt's writer stays locked
	}
	newest, newestErr := e.newestTx()
	if newestErr != nil {
		return e.failInDoubt(fmt.Errorf("%w; %w", err, newestErr))
	}
	if newest >= id {
		return e.failInDoubt(err)
	}
	if metaErr := e.location.recordMeta(0); metaErr != nil {
		return fmt.Errorf("%w: nothing was committed: %w", e.failOverwritten(metaErr), err)
	}
	return nothingCommitted(err)
}

// failInDoubt makes all later operations fail, after a commit that may or may not be on the disk.
// The memory map shows it, but after a failed fsync the system may have dropped the write, and a
// second fsync would not report that.
func (e *database) failInDoubt(err error) error {
	broken := fmt.Errorf("the database must be opened again, "+
		"because an earlier commit may not be on the disk: %w", err)
	e.broken.Store(&broken)
	return fmt.Errorf("%w: %w", transaction.ErrInDoubt, err)
}

// writeOneByOne writes each member in a bbolt transaction of its own, when the disk has no room for
// all of them: a member that only deletes may need none.
func (e *database) writeOneByOne(g *group) {
	q := &e.queue
	number := g.last - uint64(len(g.members))
	for _, r := range g.members {
		number++
		q.mu.Lock()
		g.rejectDependents()
		rejected := r.err != nil
		q.mu.Unlock()
		if rejected {
			continue
		}
		err := e.writeTx(g, []*request{r}, number)
		q.mu.Lock()
		if err != nil {
			r.err, g.failed = err, true
		} else if r.err == nil {
			r.written = true
		}
		q.mu.Unlock()
	}
}

// fail sets the err of the members that are neither rejected nor written.
func (g *group) fail(err error) {
	for _, r := range g.members {
		if r.err == nil && !r.written {
			r.err = err
		}
	}
}

// end marks g as ended, rejects members of the next group that depend on a failed member of g, and
// wakes the members of g, the next leader and waiting readers.
func (e *database) end(g *group) {
	q := &e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	g.failed = g.failed || slices.ContainsFunc(g.members, (*request).rejected)
	if g.failed && q.gathering != nil {
		q.gathering.rejectDependents()
	}
	q.running = nil
	q.visible.Store(&visibility{last: g.last})
	e.history.Decide(g.last)
	g.ended = true
	// the members' views refer to the group before: don't keep a chain of groups in memory
	g.members, g.writes = nil, nil
	if g.endedCh != nil {
		close(g.endedCh)
	}
}

// rejectDependents rejects members that have read a failed write, and then members that have read
// theirs. It is called with the queue locked.
func (g *group) rejectDependents() {
	for _, r := range g.members {
		if r.err == nil && !r.written && r.view.dependencyFailed() {
			r.err = errDependencyFailed
			g.failed = true
		}
	}
}

func (r *request) rejected() bool { return r.err != nil }

func notRejected(members []*request) []*request {
	if !slices.ContainsFunc(members, (*request).rejected) {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), (*request).rejected)
}

// await returns when g has ended.
func (q *commitQueue) await(g *group) {
	q.mu.Lock()
	done := g.done()
	q.mu.Unlock()
	<-done
}

// done returns a channel that is closed when g has ended. It is called with the queue locked.
func (g *group) done() <-chan struct{} {
	if g.endedCh == nil {
		g.endedCh = make(chan struct{})
		if g.ended {
			close(g.endedCh)
		}
	}
	return g.endedCh
}

// awaitReads returns when everything that v has read is on the disk, or returns an error if it was
// not committed.
func (e *database) awaitReads(v *view) error {
	q := &e.queue
	for i := range v.overlays {
		if v.overlays[i].read {
			q.await(v.overlays[i].group)
		}
	}
	q.mu.Lock()
	failed := v.dependencyFailed()
	q.mu.Unlock()
	if failed {
		if broken := e.broken.Load(); broken != nil {
			return *broken
		}
		return errDependencyFailed
	}
	return e.awaitSync(v.txID)
}

// awaitSync returns when the bbolt transaction id, which a snapshot showed, is on the disk: bbolt
// shows a commit shortly before it is synced, and data reported to a client must survive a power
// cut.
func (e *database) awaitSync(id uint64) error {
	q := &e.queue
	for q.synced.Load() < id {
		q.mu.Lock()
		if q.running == nil { // the group that wrote it has ended
			q.mu.Unlock()
			break
		}
		done := q.running.done()
		q.mu.Unlock()
		<-done
	}
	if q.synced.Load() >= id {
		return nil
	}
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	return nil
}

// markSynced records that the bbolt transaction id and all before it are on the disk.
func (q *commitQueue) markSynced(id uint64) {
	for before := q.synced.Load(); before < id && !q.synced.CompareAndSwap(before, id); {
		before = q.synced.Load()
	}
}

// A visibility says which commits the snapshots of bbolt show. It changes when a group's write
// begins and when the group has ended.
type visibility struct {
	last uint64 // all commits up to this one are decided, and shown unless they failed

	nextID, nextLast uint64 // the bbolt transaction being written, and its last commit; 0: none
}

// upTo returns the last commit that a snapshot of the bbolt transaction id shows.
func (v *visibility) upTo(id uint64) uint64 {
	if v.nextID != 0 && id >= v.nextID {
		return v.nextLast
	}
	return v.last
}

// beginWrite records that the bbolt transaction id is going to show all commits up to last.
func (q *commitQueue) beginWrite(id, last uint64) {
	before := q.visible.Load()
	decided := before.last
	// an earlier bbolt transaction of the same group has committed
	if before.nextID != 0 && before.nextID < id {
		decided = before.nextLast
	}
	q.visible.Store(&visibility{last: decided, nextID: id, nextLast: last})
}
