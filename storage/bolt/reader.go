package bolt

import (
	"sync"

	"go.etcd.io/bbolt"
)

// A reader is a read transaction of bbolt with the buckets that were looked up in it. One goroutine at a time uses it.
type reader struct {
	tx      *bbolt.Tx
	round   uint64 // of the engine's idle readers, before tx began
	buckets []bucket
	room    [2]bucket // for buckets, as there are seldom more
}

// A bucket is one that was looked up already: bbolt searches for it anew each time.
type bucket struct {
	name   string
	bucket *bbolt.Bucket // nil: there is none
	cursor *bbolt.Cursor // for what is done in one go, with no call of the user's code between
}

// maxBuckets is how many buckets a reader remembers. Most transactions use two.
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

// idle keeps the readers that nobody uses, as long as they show the newest state: then the next transaction goes on with one, and finds
// the buckets looked up. (It saves a read of a session 8 of 30 allocations and a seventh of its time.) Before anything is written they
// are all ended, so that none is ever old, keeps pages from being used again, or keeps bbolt from enlarging its memory map.
type idle struct {
	mu      sync.Mutex // guards the rest
	round   uint64     // odd while somebody writes
	readers []*reader
}

// maxIdle is how many readers are kept: as many as transactions that have a snapshot at one time, on most sites.
const maxIdle = 32

// take returns a reader, if there is one. Otherwise one that begins now is of the round that it returns.
func (i *idle) take() (r *reader, round uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := len(i.readers); n > 0 {
		r, i.readers[n-1], i.readers = i.readers[n-1], nil, i.readers[:n-1]
	}
	return r, i.round
}

// put takes r back. It does not if something has been written since r began, or may have been.
func (i *idle) put(r *reader) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.round != i.round || i.round%2 != 0 || len(i.readers) == maxIdle {
		return false
	}
	i.readers = append(i.readers, r)
	return true
}

// nextRound begins and ends the time in which somebody writes, and returns the readers to end.
func (i *idle) nextRound() []*reader {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.round++
	readers := i.readers
	i.readers = nil
	return readers
}

// reader returns one that shows the newest state.
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

// leave gives r back.
func (e *database) leave(r *reader) {
	if !e.idle.put(r) {
		r.end()
	}
}

func (r *reader) end() { _ = rollback(r.tx) }

// lockWriter is called by who writes to db, before he begins; unlockWriter when it is clear how that ended.
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
