package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A Tx is one transaction's view of a [DB]: a snapshot, and on top of it the transaction's own
// writes. It is safe for concurrent use by the goroutines of one request, which see each other's
// writes. Using it after the end of the transaction is an error, [transaction.ErrEnded], also for a
// goroutine that is still at work when another ends the transaction: each of its calls takes effect
// as a whole or is refused, and a loop over a range stops.
type Tx struct {
	core   *core
	ctx    context.Context  // the transaction's; used for the snapshot, as sql.DB.BeginTx does
	ticket *ticket          // nil: none
	seen   *observe.Request // nil: without listeners

	transient atomic.Pointer[error] // the first transient error that was returned; nil: none

	// mu guards the rest. It is not held while a loop's body runs, nor while the engine commits:
	// the view then belongs to the committing goroutine. It is locked after the mutex of
	// [transaction.Txn.Hold], and before those of the engine and of the Txn.
	mu      sync.Mutex
	view    engine.View   // nil before the first read
	buckets []*bucketData // sorted by name
	scans   []*scan       // the running iterations
	ended   bool          // the view and the admission belong to the data manager now
	writing *writing      // nil before the commit, and after it if nothing was written

	// The first elements of buckets, and of the first one's reads. There are seldom more, so they
	// seldom allocate.
	room struct {
		data  bucketData
		list  [2]*bucketData
		reads [3]string
	}
}

// writing is the state of the commit of a transaction that has written.
type writing struct {
	changes   engine.Changes
	admission admission
}

// bucketData is the reads and writes of a transaction in one bucket.
type bucketData struct {
	name   string
	writes *btree.Map[string, []byte] // nil value: deleted
	reads  keySet
	ranges intervals
}

// Bucket returns the bucket of that name. A bucket need not be created: it exists as long as it has
// keys.
func (tx *Tx) Bucket(name string) Bucket {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return Bucket{tx: tx, data: &bucketData{name: name}}
	}
	i, found := slices.BinarySearchFunc(tx.buckets, name, func(b *bucketData, name string) int {
		return strings.Compare(b.name, name)
	})
	if !found {
		tx.buckets = slices.Insert(tx.buckets, i, tx.newBucket(name))
	}
	return Bucket{tx: tx, data: tx.buckets[i]}
}

// newBucket is called with mu locked.
func (tx *Tx) newBucket(name string) *bucketData {
	if tx.buckets != nil {
		return &bucketData{name: name}
	}
	tx.buckets = tx.room.list[:0]
	first := &tx.room.data
	first.name = name
	first.reads.list = tx.room.reads[:0]
	return first
}

// errEnded returns an error if the transaction is over. It is called with mu locked.
func (tx *Tx) errEnded() error {
	if !tx.ended {
		return nil
	}
	return tx.named(transaction.ErrEnded)
}

// named adds the database's name to err.
func (tx *Tx) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("storage: %s: %w", tx.core.name, err)
}

// open returns the snapshot; the first call takes it. It is called with mu locked.
func (tx *Tx) open() (engine.View, error) {
	if tx.view == nil {
		view, err := tx.begin()
		if err != nil {
			err = tx.named(err)
			tx.remember(err)
			return nil, err
		}
		tx.view = view
	}
	return tx.view, nil
}

// begin takes a speculative snapshot if tx has a ticket: the ticket may have been released before
// the commit of its former holder was durable.
func (tx *Tx) begin() (engine.View, error) {
	if e, ok := tx.core.engine.(engine.Speculative); ok && tx.ticket != nil {
		return e.BeginSpeculative(tx.ctx, tx.ticket.about.ranges())
	}
	return tx.core.engine.Begin(tx.ctx)
}

// With calls f with the engine's view, which it begins if necessary, for packages of engines that
// offer more than this package. No other call of tx, nor the end of its
// transaction, runs concurrently, so f must not use tx, nor keep the view. It returns
// [transaction.ErrEnded], the engine's error, or that of f.
func (tx *Tx) With(f func(engine.View) error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return err
	}
	view, err := tx.open()
	if err != nil {
		return err
	}
	return f(view)
}

// Now returns the time by the database's own clock, if it has one (ok): it is common to all
// machines that use the database. Each call asks the database, which takes a round trip. Errors are
// those of View, or of the engine, wrapped.
func (tx *Tx) Now() (now time.Time, ok bool, err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.errEnded(); err != nil {
		return now, false, err
	}
	view, err := tx.open()
	if err != nil {
		return now, false, err
	}
	c, ok := view.(engine.Clock)
	if !ok {
		return now, false, nil
	}
	now, err = c.Now()
	return now, true, tx.named(err)
}

func (tx *Tx) readOnly() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if side, ok := tx.view.(engine.SideView); ok && side.Written() {
		return false
	}
	return !tx.wrote()
}

// changes returns the transaction's reads and writes, for the engine. It returns nil if tx has only
// read, because such a transaction is not validated. It is called with mu locked.
func (tx *Tx) changes() *engine.Changes {
	for _, s := range tx.scans { // a commit from inside a loop
		s.record()
	}
	if !tx.wrote() {
		return nil
	}
	tx.writing = &writing{}
	c := &tx.writing.changes
	c.By = tx.seen.Name()
	if tx.ticket != nil {
		c.Locked = tx.ticket.keys
		c.Accepted = tx.releaseTicket
	}
	tx.collect(c)
	return c
}

// wrote reports whether tx has written to a bucket. It is called with mu locked.
func (tx *Tx) wrote() bool {
	return slices.ContainsFunc(tx.buckets,
		func(b *bucketData) bool { return b.writes != nil && b.writes.Len() > 0 })
}

// collect adds the reads and writes of tx to c. It is called with mu locked.
func (tx *Tx) collect(c *engine.Changes) {
	reads, ranges, writes := 0, 0, 0
	for _, b := range tx.buckets {
		reads += len(b.reads.list)
		ranges += len(b.ranges)
		if b.writes != nil {
			writes += b.writes.Len()
		}
	}
	c.Reads = make([]engine.ReadKey, 0, reads)
	c.Ranges = make([]engine.ReadRange, 0, ranges)
	c.Writes = make([]engine.Write, 0, writes)
	for _, b := range tx.buckets {
		for _, key := range b.reads.sorted() {
			c.Reads = append(c.Reads, engine.ReadKey{Bucket: b.name, Key: key})
		}
		for _, r := range b.ranges {
			c.Ranges = append(c.Ranges, engine.ReadRange{Bucket: b.name, From: r.from, To: r.to})
		}
		if b.writes != nil {
			b.writes.Scan(func(key string, value []byte) bool {
				c.Writes = append(c.Writes, engine.Write{Bucket: b.name, Key: key, Value: value})
				return true
			})
		}
	}
}

// end closes the snapshot and drops the buffers.
func (tx *Tx) end() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.ended = true
	if tx.view != nil {
		tx.view.Close()
	}
	tx.discharge()
	tx.view, tx.buckets, tx.scans = nil, nil, nil
}

// discharge marks tx's commit as decided (or visible) and wakes its waiters.
func (tx *Tx) discharge() {
	if tx.writing != nil {
		tx.core.queue.discharge(&tx.writing.admission)
	}
}

// explainRead completes an engine's error of a read of one key or a range of bucket. It is called
// with mu locked.
func (tx *Tx) explainRead(err error, bucket string, iv interval) error {
	if err == nil {
		return nil
	}
	var c engine.Changes
	for _, s := range tx.scans { // the failed one may be among the running ones
		s.record()
	}
	tx.collect(&c)
	c.Ranges = append(c.Ranges, engine.ReadRange{Bucket: bucket, From: iv.from, To: iv.to})
	return tx.explain(err, &c)
}

// explain completes an engine's error of a transaction with the changes c.
func (tx *Tx) explain(err error, c *engine.Changes) (explained error) {
	defer func() { tx.remember(explained) }()
	e, ok := errors.AsType[*ConflictError](err)
	switch {
	case !ok && tx.ticket != nil && transaction.IsTransient(err):
		return &ticketError{tx.named(err), &tx.core.queue, tx.ticket}
	case !ok:
		return tx.named(err)
	}
	if c == &nothing { // the engine may not have got the reads
		c = new(engine.Changes)
		tx.mu.Lock()
		tx.collect(c)
		tx.mu.Unlock()
	}
	e.DB = tx.core.name
	e.queue = &tx.core.queue
	tx.tellConflict(e)
	e.held = tx.ticket
	e.about = claimOf(c)
	if e.Bucket != "" {
		e.lost = rangeWith(c, e.Bucket, string(e.Key))
	}
	return err
}

// rangeWith returns the range of c's reads that contains the key, or the key alone if it was read
// with Get, or only written.
func rangeWith(c *engine.Changes, bucket, key string) span {
	if !slices.Contains(c.Reads, engine.ReadKey{Bucket: bucket, Key: key}) {
		for _, r := range c.Ranges {
			if r.Bucket == bucket && r.Contains(key) {
				return span{bucket, r.From, r.To}
			}
		}
	}
	return single(bucket, key)
}

// remember stores the first transient error that is returned, in case the app ignores it.
func (tx *Tx) remember(err error) {
	if err != nil && transaction.IsTransient(err) {
		first := err // moved to the heap only here, so that a nil err costs no allocation
		tx.transient.CompareAndSwap(nil, &first)
	}
}
