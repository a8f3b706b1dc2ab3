package bolt

import (
	"sync"

	"go.etcd.io/bbolt"
)

// A reader is a read transaction of bbolt with a cache of its buckets. It is used by one goroutine
// at a time.
type reader struct {
	tx      *bbolt.Tx
	round   uint64 // the round of the idle pool before tx began
	buckets []bucket
	room    [2]bucket // the first elements of buckets: there are seldom more
}

// A bucket caches the lookup of a bucket, which bbolt would repeat each time.
type bucket struct {
	name   string
	bucket *bbolt.Bucket // nil: it does not exist
	cursor *bbolt.Cursor // for operations during which no code of the user runs
}

// maxBuckets is the number of buckets that a reader caches. Most transactions use two.
const maxBuckets = 8

// bucket is called under guard.
func (r *reader) bucket(name string) bucket {
	for i := range r.buckets {
		if r.buckets[i].name == name {
			return r.buckets[i]
		}
	}
	b := bucket{name: name, bucket: r.tx.Bucket([]byte(name))}
	if b.bucket != nil {
		b.cursor = b.bucket.Cursor()
	}
	if r.buckets == nil {
		r.buckets = r.room[:0]
	}
	if len(r.buckets) < maxBuckets {
		r.buckets = append(r.buckets, b)
	}
	return b
}

// idle is a pool of read transactions that still show the newest state, with their cached buckets,
// so that the next transaction need not open its own. The pool is emptied before every write, so no
// reader in it is stale, pins old pages, or keeps bbolt from enlarging its memory map.
type idle struct {
	mu      sync.Mutex // guards the rest
	round   uint64     // odd during a write
	readers []*reader
}

// maxIdle is the size of the pool: on most sites no more transactions have a snapshot at one time.
const maxIdle = 32

// take returns an idle reader, if there is one, and the current round for a new one.
func (i *idle) take() (r *reader, round uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := len(i.readers); n > 0 {
		r, i.readers[n-1], i.readers = i.readers[n-1], nil, i.readers[:n-1]
	}
	return r, i.round
}

// put returns r to the pool. It refuses, and returns false, if something may have been written
// since r began, or the pool is full.
func (i *idle) put(r *reader) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.round != i.round || i.round%2 != 0 || len(i.readers) == maxIdle {
		return false
	}
	i.readers = append(i.readers, r)
	return true
}

// nextRound begins or ends a write, and returns the readers to close.
func (i *idle) nextRound() []*reader {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.round++
	readers := i.readers
	i.readers = nil
	return readers
}

// reader returns a reader that shows the newest state.
func (e *database) reader() (*reader, error) {
	r, round := e.idle.take()
	if r != nil {
		return r, nil
	}
	tx, err := e.begin(false)
	if err != nil {
		e.place.tell()
		return nil, err
	}
	return &reader{tx: tx, round: round}, nil
}

// leave returns r to the pool, or ends it.
func (e *database) leave(r *reader) {
	if !e.idle.put(r) {
		r.end()
	}
}

func (r *reader) end() { _ = rollback(r.tx) }

// lockWriter must be held from before a bbolt write transaction begins until its outcome is known.
func (e *database) lockWriter() {
	e.writer.Lock()
	for _, r := range e.idle.nextRound() {
		r.end()
	}
}

func (e *database) unlockWriter() {
	e.idle.nextRound()
	e.writer.Unlock()
}
