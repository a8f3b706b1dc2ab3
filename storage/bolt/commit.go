package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// run commits g and sets the err of each member that fails. If it panics, members get an error
// rather than nil, which they would take for success.
func (e *database) run(g *group) {
	committing, finished := false, false
	fail := func(err error) {
		for _, r := range g.requests {
			if r.err == nil && !r.kept {
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
		id, err := e.update(g, accepted, g.last)
		_, full := errors.AsType[*fullError](err)
		switch {
		case err == nil:
			e.queue.isSynced(id)
		case full && len(accepted) > 1:
			e.oneByOne(g)
		default:
			fail(err)
		}
	}
	finished = true
}

// oneByOne writes each member in an update of its own, when the disk has no room for all of them: a
// member that only deletes may need none.
func (e *database) oneByOne(g *group) {
	q := &e.queue
	number := g.last - uint64(len(g.requests))
	for _, r := range g.requests {
		number++
		q.mu.Lock()
		g.rejectDependents()
		refused := r.err != nil
		q.mu.Unlock()
		if refused {
			continue
		}
		id, err := e.update(g, []*request{r}, number)
		q.mu.Lock()
		if err != nil {
			r.err, g.failed = err, true
		} else if r.err == nil {
			r.kept = true
		}
		q.mu.Unlock()
		q.isSynced(id) // 0 after an error
	}
}

// merge returns the members' writes sorted by bucket and key, so that bbolt visits each page once.
func merge(accepted []*request) []engine.Write {
	if len(accepted) == 1 {
		return accepted[0].changes.Writes
	}
	n := 0
	for _, r := range accepted {
		n += len(r.changes.Writes)
	}
	all := make([]engine.Write, 0, n)
	for _, r := range accepted {
		all = append(all, r.changes.Writes...)
	}
	return inOrder(all)
}

// inOrder sorts writes by bucket and key, in place. Of several writes of one key the last one
// remains.
func inOrder(writes []engine.Write) []engine.Write {
	slices.SortStableFunc(writes, func(a, b engine.Write) int {
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

// update writes the accepted members of g, of which the last has the number last, in one bbolt
// transaction, and returns its id. After an error it finds out whether the transaction may have
// been applied nonetheless.
func (e *database) update(g *group, accepted []*request, last uint64) (id uint64, err error) {
	e.lockWriter()
	defer e.unlockWriter()
	if err := e.inPlace(false); err != nil {
		return 0, err
	}
	e.used.Store(true)
	tx, err := e.begin(true)
	if err != nil {
		return 0, err
	}
	if err := e.isOwn(tx); err != nil {
		return 0, errors.Join(e.overwritten(err), rollback(tx))
	}
	id = uint64(tx.ID()) //nolint:gosec // ids are not negative
	e.queue.writing(id, last)
	if accepted, err = e.decide(tx, g, accepted); err == nil {
		err = apply(tx, merge(accepted))
	}
	if err == nil {
		failpoint.Here("bolt: decision recorded")
		if err = e.commitGuarded(tx); err == nil {
			failpoint.Here("bolt: committed")
			if err := e.place.remember(id); err != nil {
				return 0, fmt.Errorf("%w: %w", transaction.ErrInDoubt, e.overwritten(err))
			}
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
	if headsErr := e.place.remember(0); headsErr != nil {
		return 0, fmt.Errorf("%w: nothing was committed: %w", e.overwritten(headsErr), err)
	}
	return 0, nothingCommitted(err)
}

// nothingCommitted adds the remedy to an error, if there is one.
func nothingCommitted(err error) error {
	if isFull(err) {
		return &fullError{fmt.Errorf("nothing was committed, because the disk is full: %w: make room on it; "+
			"meanwhile deletions may go on, in the room that earlier ones have left in the file", err)}
	}
	return fmt.Errorf("nothing was committed: %w", err)
}

// A fullError reports that the disk is full.
type fullError struct{ error }

func (e *fullError) Unwrap() error { return e.error }

// isFull reports whether err says that a file can't grow. Of some of these errors bbolt keeps only
// the text.
func isFull(err error) bool {
	return slices.ContainsFunc(errsFull, func(full error) bool {
		return errors.Is(err, full) || strings.Contains(err.Error(), full.Error())
	})
}

// writeAlone runs f in a bbolt update outside of the queue.
func (e *database) writeAlone(f func(*bbolt.Tx) error) (err error) {
	defer e.place.tell()
	e.lockWriter()
	defer e.unlockWriter()
	if err := e.inPlace(false); err != nil {
		return err
	}
	e.used.Store(true)
	err = e.guardedUpdate(func(tx *bbolt.Tx) error {
		if err := e.isOwn(tx); err != nil {
			return e.overwritten(err)
		}
		return f(tx)
	})
	if headsErr := e.place.remember(0); headsErr != nil {
		return errors.Join(e.overwritten(headsErr), err)
	}
	return err
}

func (e *database) guardedUpdate(f func(*bbolt.Tx) error) (err error) {
	defer guard(protect(), &err)
	return e.db.Update(f)
}

// decide records the decisions over prepared work of others. It rejects members that recovery has
// aborted meanwhile, and those that have read their writes.
func (e *database) decide(tx *bbolt.Tx, g *group,
	accepted []*request,
) (remaining []*request, err error) {
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
		g.failed = true
		g.rejectDependents()
		accepted = notRejected(accepted)
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

// fail makes all later operations fail, after a commit that may or may not be on the disk. The
// memory map shows it, but after a failed fsync the system may have dropped the write, and a second
// fsync would not report that.
func (e *database) fail(err error) error {
	broken := fmt.Errorf("the database must be opened again, "+
		"because an earlier commit may not be on the disk: %w", err)
	e.broken.Store(&broken)
	return fmt.Errorf("%w: %w", transaction.ErrInDoubt, err)
}

func (e *database) newest() (id uint64, err error) {
	tx, err := e.begin(false)
	if err != nil {
		return 0, err
	}
	id = uint64(tx.ID()) //nolint:gosec // ids are not negative
	return id, rollback(tx)
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

func (e *database) commitGuarded(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	return e.commitTx(tx)
}

// rollback ends tx, also after a panic in its commit.
func rollback(tx *bbolt.Tx) (err error) {
	defer guard(protect(), &err)
	_ = tx.Rollback() // only fails if bbolt has rolled back already
	return nil
}

// awaitSync returns when the commit that a snapshot showed is on the disk: bbolt shows a commit
// shortly before it is synced, and data reported to a client must survive a power cut.
func (e *database) awaitSync(seq uint64) error {
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
