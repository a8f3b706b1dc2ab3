package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/internal/crashpoint"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// run decides over every member of g. A panic decides, too: who listens to a leader that is gone must not take silence for
// success.
func (e *engine) run(g *group) {
	committing, finished := false, false
	fail := func(err error) {
		for _, r := range g.requests {
			if r.err == nil {
				r.err = err
			}
		}
	}
	defer func() {
		p := recover()
		if finished {
			return
		}
		var err error = &transaction.PanicError{Value: p, Stack: debug.Stack()}
		if p == nil {
			err = errors.New("the goroutine was ended")
		}
		if committing {
			err = e.fail(err)
		} else {
			err = fmt.Errorf("nothing was committed: %w", err)
		}
		fail(err)
	}()
	if broken := e.broken.Load(); broken != nil {
		fail(*broken)
	} else if accepted := g.accepted(); len(accepted) > 0 {
		committing = true
		if id, err := e.update(g, accepted); err != nil {
			fail(err)
		} else {
			e.queue.isSynced(id)
		}
	}
	finished = true
}

// merge returns what the members write, as bbolt likes it: in order, so that each page is visited once.
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
	return inOrder(all)
}

// inOrder sorts writes by bucket and key, in place. Of several writes of one key the last one stays.
func inOrder(writes []storage.Write) []storage.Write {
	slices.SortStableFunc(writes, func(a, b storage.Write) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	n := 0
	for i, w := range writes {
		if i+1 == len(writes) || w.Bucket != writes[i+1].Bucket || w.Key != writes[i+1].Key {
			writes[n] = w
			n++
		}
	}
	return writes[:n]
}

// update makes durable what the accepted members of g write, in one bbolt transaction, whose id it returns. After an error it finds
// out whether that may have been applied nonetheless.
func (e *engine) update(g *group, accepted []*request) (id uint64, err error) {
	e.lockWriter()
	defer e.unlockWriter()
	tx, err := e.begin(true)
	if err != nil {
		return 0, err
	}
	id = uint64(tx.ID()) //nolint:gosec // ids are not negative
	e.queue.writing(g, id)
	if accepted, err = e.decide(tx, g, accepted); err == nil {
		err = apply(tx, merge(accepted))
	}
	if err == nil {
		crashpoint.Here("bolt: decision recorded")
		if err = e.commitGuarded(tx); err == nil {
			crashpoint.Here("bolt: committed")
			return id, nil
		}
	}
	if rollbackErr := rollback(tx); rollbackErr != nil {
		return 0, e.fail(fmt.Errorf("%w; %w", err, rollbackErr)) // bbolt's writer stays locked
	}
	now, nowErr := e.newest()
	if nowErr != nil {
		return 0, e.fail(fmt.Errorf("%w; %w", err, nowErr))
	}
	if now >= id {
		return 0, e.fail(err)
	}
	return 0, fmt.Errorf("nothing was committed: %w", err)
}

// decide records the decisions over others, and refuses those that recovery has given up, with all who had read what they write.
func (e *engine) decide(tx *bbolt.Tx, g *group, accepted []*request) (remaining []*request, err error) {
	defer guard(protect(), &err)
	if ids := e.forgotten.take(); len(ids) > 0 {
		if err := unrecord(tx, ids); err != nil {
			return nil, err
		}
	}
	givenUp := false
	for _, r := range accepted {
		if id := r.changes.Decision; id != "" {
			if known, _ := decided(tx, id); known {
				givenUp = true
				r.err = errGivenUp
			}
		}
	}
	if givenUp {
		e.queue.mu.Lock()
		g.fell = true
		g.refuseMisled()
		accepted = g.accepted()
		e.queue.mu.Unlock()
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

func (e *engine) newest() (id uint64, err error) {
	tx, err := e.begin(false)
	if err != nil {
		return 0, err
	}
	id = uint64(tx.ID()) //nolint:gosec // ids are not negative
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
		if q.running == nil { // whoever wrote it has ended
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
