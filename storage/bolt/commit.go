package bolt

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/internal/crashpoint"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/internal/occ"
	"github.com/pasteline/pasteline/transaction"
)

// A request is a transaction that wants to commit.
type request struct {
	changes *storage.Changes
	view    *view // its own goroutine does nothing but wait
	err     error
}

// A group is decided together.
type group struct {
	requests []*request
	done     chan struct{} // closed when it is decided; nil while nobody waits for that
}

// decided returns what is closed when g is decided. It is called with the queue locked.
func (g *group) decided() <-chan struct{} {
	if g.done == nil {
		g.done = make(chan struct{})
	}
	return g.done
}

// queue forms the groups.
type queue struct {
	mu        sync.Mutex    // guards the next two
	running   *group        // nil: nobody is at work
	gathering *group        // the next one; nil: nobody has come yet
	synced    atomic.Uint64 // the last commit that is known to be on the disk
}

// commit decides over r, in a group with all others that want to commit at that time. The first of a group leads it, on its own
// goroutine, as soon as the group before is decided; the others only wait.
func (e *engine) commit(r *request) error {
	q := &e.queue
	q.mu.Lock()
	if q.gathering == nil {
		q.gathering = &group{}
	}
	g := q.gathering
	g.requests = append(g.requests, r)
	switch {
	case len(g.requests) > 1:
		decided := g.decided()
		q.mu.Unlock()
		<-decided
		return r.err
	case q.running != nil:
		decided := q.running.decided()
		q.mu.Unlock()
		<-decided
		// The members of the last group run on before this one starts, so that their next commits are in it: without this,
		// groups of one and of all the others alternate, with half the throughput.
		runtime.Gosched()
		q.mu.Lock()
	}
	q.running, q.gathering = g, nil
	q.mu.Unlock()

	defer q.end(g)
	e.run(g.requests)
	return r.err
}

// end wakes all who wait for g at once: its members, the leader of the next group, and readers.
func (q *queue) end(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = nil
	if g.done != nil {
		close(g.done)
	}
}

// run decides over every member of group. A panic decides, too: who listens to a leader that is gone must not take silence for
// success.
func (e *engine) run(group []*request) {
	committing := false
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		var err error = &transaction.PanicError{Value: p, Stack: debug.Stack()}
		if committing {
			err = e.fail(err)
		} else {
			err = fmt.Errorf("nothing was committed: %w", err)
		}
		for _, r := range group {
			if r.err == nil {
				r.err = err
			}
		}
	}()
	accepted := e.validate(group)
	for _, r := range group {
		r.view.release()
	}
	if len(accepted) == 0 {
		return
	}
	committing = true
	seq, writes, err := e.update(accepted)
	if err != nil {
		for _, r := range accepted {
			if r.err == nil {
				r.err = err
			}
		}
		return
	}
	e.queue.synced.Store(seq)
	e.history.Commit(seq, writes)
}

// validate returns those who may commit, in the order in which they came, and gives the others their error.
func (e *engine) validate(group []*request) []*request {
	broken := e.broken.Load()
	accepted := make([]*request, 0, len(group))
	var earlier occ.Writes // of the members before
	for i, r := range group {
		var conflict *storage.ConflictError
		if broken == nil {
			conflict = e.history.Validate(r.changes, r.view.seq)
		}
		if conflict == nil && len(accepted) > 0 {
			conflict = earlier.Validate(r.changes)
		}
		switch {
		case broken != nil:
			r.err = *broken
		case conflict != nil:
			r.err = conflict
		default:
			accepted = append(accepted, r)
			if i < len(group)-1 {
				earlier.Add(r.changes.Writes)
			}
		}
	}
	return accepted
}

// merge returns what the members write, as bbolt likes it: in order, so that each page is visited once. Of several writes of one
// key the last one counts.
func merge(accepted []*request) []storage.Write {
	if len(accepted) == 1 {
		return accepted[0].changes.Writes
	}
	n := 0
	for _, r := range accepted {
		n += len(r.changes.Writes)
	}
	all := make([]storage.Write, 0, n)
	for _, r := range accepted {
		all = append(all, r.changes.Writes...)
	}
	slices.SortStableFunc(all, func(a, b storage.Write) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	n = 0
	for i, w := range all {
		if i+1 == len(all) || w.Bucket != all[i+1].Bucket || w.Key != all[i+1].Key {
			all[n] = w
			n++
		}
	}
	return all[:n]
}

// update makes durable what the accepted write, in one bbolt transaction, whose id it returns with what was written. After an error
// it finds out whether that may have been applied nonetheless.
func (e *engine) update(accepted []*request) (seq uint64, writes []storage.Write, err error) {
	tx, err := e.begin(true)
	if err != nil {
		return 0, nil, err
	}
	id := tx.ID()
	if accepted, err = e.decide(tx, accepted); err == nil {
		writes = merge(accepted)
		err = apply(tx, writes)
	}
	if err == nil {
		crashpoint.Here("bolt: decision recorded")
		if err = e.commitGuarded(tx); err == nil {
			crashpoint.Here("bolt: committed")
			return uint64(id), writes, nil //nolint:gosec // ids are not negative
		}
	}
	if rollbackErr := rollback(tx); rollbackErr != nil {
		return 0, nil, e.fail(fmt.Errorf("%w; %w", err, rollbackErr)) // bbolt's writer stays locked
	}
	now, nowErr := e.newest()
	if nowErr != nil {
		return 0, nil, e.fail(fmt.Errorf("%w; %w", err, nowErr))
	}
	if now >= id {
		return 0, nil, e.fail(err)
	}
	return 0, nil, fmt.Errorf("nothing was committed: %w", err)
}

// decide records the decisions over others, and refuses those that recovery has given up.
func (e *engine) decide(tx *bbolt.Tx, accepted []*request) (remaining []*request, err error) {
	defer guard(protect(), &err)
	if ids := e.forgotten.take(); len(ids) > 0 {
		if err := unrecord(tx, ids); err != nil {
			return nil, err
		}
	}
	isGivenUp := func(r *request) bool {
		if r.changes.Decision == "" {
			return false
		}
		known, _ := decided(tx, r.changes.Decision)
		return known
	}
	if slices.ContainsFunc(accepted, isGivenUp) {
		accepted = slices.Clone(accepted)
		accepted = slices.DeleteFunc(accepted, func(r *request) bool {
			if !isGivenUp(r) {
				return false
			}
			r.err = errGivenUp
			return true
		})
	}
	for _, r := range accepted {
		if id := r.changes.Decision; id != "" {
			if err := record(tx, id, decision(time.Now())); err != nil {
				return nil, err
			}
		}
	}
	return accepted, nil
}

// fail ends the life of the engine after a commit that may or may not be on the disk. The memory map shows it, but after a
// failed fsync the system may have forgotten to write it, and a second fsync would not say so.
func (e *engine) fail(err error) error {
	broken := fmt.Errorf("the database must be opened anew, because an earlier commit may not be on the disk: %w", err)
	e.broken.Store(&broken)
	return fmt.Errorf("%w: %w", transaction.ErrInDoubt, err)
}

func (e *engine) newest() (id int, err error) {
	tx, err := e.begin(false)
	if err != nil {
		return 0, err
	}
	id = tx.ID()
	return id, rollback(tx)
}

func apply(tx *bbolt.Tx, writes []storage.Write) (err error) {
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

func (e *engine) commitGuarded(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	return e.commitTx(tx)
}

// rollback also ends a transaction whose commit panicked.
func rollback(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	_ = tx.Rollback() // only fails if bbolt has rolled back by itself
	return nil
}

// awaitSync returns when the commit that a snapshot showed is on the disk: bbolt shows it a moment earlier, and what a client is
// told must not be lost by a power cut.
func (e *engine) awaitSync(seq uint64) error {
	q := &e.queue
	for q.synced.Load() < seq {
		q.mu.Lock()
		if q.running == nil { // the group that wrote it has ended
			q.mu.Unlock()
			break
		}
		decided := q.running.decided()
		q.mu.Unlock()
		<-decided
	}
	if q.synced.Load() >= seq {
		return nil
	}
	if broken := e.broken.Load(); broken != nil {
		return *broken
	}
	return nil
}
