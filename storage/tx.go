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

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A Tx is one transaction's view of a [DB]: a snapshot, and what the transaction has written on top of it.
// It is safe for concurrent use by the goroutines of one request, which see each other's writes. To use it after the end of the
// transaction is an error, [transaction.ErrEnded], also for a goroutine that is still at work when another ends the transaction:
// each of its calls counts whole or is refused, and a loop over a range goes no further.
type Tx struct {
	core *core
	ctx  context.Context // the transaction's, for the snapshot, as sql.DB.BeginTx keeps its own
	turn *turn           // nil: none

	told atomic.Pointer[error] // the first transient error that was returned; nil: none

	// mu guards the rest. It is free while a loop's body runs, and while the engine commits, for whose goroutine alone the view is
	// then. It is locked after that of [transaction.Txn.Hold], and before those of the engine and of the Txn.
	mu      sync.Mutex
	view    engine.View   // nil until something is read
	buckets []*bucketData // sorted by name
	scans   []*scan       // the iterations that are under way
	ended   bool          // the view, and the admission, are the data manager's now
	writing *writing      // nil until the commit, and then if nothing was written

	// For buckets, and the first one with the keys read in it, as there are seldom more: so they cost no allocation.
	room struct {
		data  bucketData
		list  [2]*bucketData
		reads [3]string
	}
}

// writing is what only the commit of a transaction that has written needs.
type writing struct {
	changes   engine.Changes
	admission admission
}

// bucketData is what a transaction has done to one bucket.
type bucketData struct {
	name   string
	writes *btree.Map[string, []byte] // nil value: deleted
	reads  keySet
	ranges intervals
}

// Bucket returns the bucket of that name. There is nothing to create: a bucket is there as long as it has keys.
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

// errEnded returns nil as long as the transaction can be used. It is called with mu locked.
func (tx *Tx) errEnded() error {
	if !tx.ended {
		return nil
	}
	return tx.named(transaction.ErrEnded)
}

// named adds the database's name.
func (tx *Tx) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("storage: %s: %w", tx.core.name, err)
}

// open returns the snapshot, taken by the first read. It is called with mu locked.
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

// begin begins early if it is tx's turn, because the turn has been passed on early, too.
func (tx *Tx) begin() (engine.View, error) {
	if e, ok := tx.core.engine.(engine.Speculative); ok && tx.turn != nil {
		return e.BeginSpeculative(tx.ctx)
	}
	return tx.core.engine.Begin(tx.ctx)
}

// With calls f with the engine's view, which is made if there is none yet: for packages of engines that can do more with it than this
// one knows of. No other call of tx, and no end of its transaction, comes in between, so f must not use tx, and not keep the view.
// It returns [transaction.ErrEnded], the engine's error, or that of f.
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

// Now returns the time by the database's own clock, if it has one (ok), which all machines that use it have in common. The
// database is asked each time, which takes a round trip. Errors are those of View, or of the engine, wrapped.
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

// changes returns what the transaction did, for the engine; nil if it has only read, as there is nothing to validate then.
// It is called with mu locked.
func (tx *Tx) changes() *engine.Changes {
	for _, s := range tx.scans { // a commit from inside a loop
		s.record()
	}
	if !tx.wrote() {
		return nil
	}
	tx.writing = &writing{}
	c := &tx.writing.changes
	if tx.turn != nil {
		c.Locked = tx.turn.keys
		c.Accepted = tx.passTurn
	}
	tx.collect(c)
	return c
}

// wrote reports whether tx has written to a bucket. It is called with mu locked.
func (tx *Tx) wrote() bool {
	return slices.ContainsFunc(tx.buckets, func(b *bucketData) bool { return b.writes != nil && b.writes.Len() > 0 })
}

// collect adds to c what tx has read and written. It is called with mu locked.
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

// discharge tells those who wait for it that what tx writes is decided, or can be seen.
func (tx *Tx) discharge() {
	if tx.writing != nil {
		tx.core.turns.discharge(&tx.writing.admission)
	}
}

// explainRead completes an engine's error of a read in bucket, of one key or of a range. It is called with mu locked.
func (tx *Tx) explainRead(err error, bucket string, iv interval) error {
	if err == nil {
		return nil
	}
	var c engine.Changes
	for _, s := range tx.scans { // one of them may be what failed, but others are under way, too
		s.record()
	}
	tx.collect(&c)
	c.Ranges = append(c.Ranges, engine.ReadRange{Bucket: bucket, From: iv.from, To: iv.to})
	return tx.explain(err, &c)
}

// explain completes an engine's error of a transaction that did c with what the engine can't know.
func (tx *Tx) explain(err error, c *engine.Changes) (explained error) {
	defer func() { tx.remember(explained) }()
	e, ok := errors.AsType[*ConflictError](err)
	switch {
	case !ok && tx.turn != nil && transaction.IsTransient(err):
		return &turnError{tx.named(err), &tx.core.turns, tx.turn}
	case !ok:
		return tx.named(err)
	}
	if c == &nothing { // of what counts for the engine, which need not have been told what was read
		c = new(engine.Changes)
		tx.mu.Lock()
		tx.collect(c)
		tx.mu.Unlock()
	}
	e.DB = tx.core.name
	e.turns = &tx.core.turns
	e.held = tx.turn
	e.about = claimOf(c)
	if e.Bucket != "" {
		e.lost = rangeWith(c, e.Bucket, string(e.Key))
	}
	return err
}

// rangeWith returns the range of c's reads that contains the key; otherwise the key was read by itself, or only written.
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

// remember keeps the first transient error that is returned: the app may pass over it.
func (tx *Tx) remember(err error) {
	if err != nil && transaction.IsTransient(err) {
		told := err // so that a nil err, which is the rule, costs no allocation
		tx.told.CompareAndSwap(nil, &told)
	}
}
