package bolt

import (
	"sync"

	"go.etcd.io/bbolt"
)

// A reader is a read transaction of bbolt with a cache of its buckets. It is used by one goroutine
// at a time.
type reader struct {
	tx      *bbolt.Tx
	era     uint64 // the era of the pool before tx began
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

// A readerPool holds read transactions that still show the newest state, with their cached buckets,
// so that the next view need not open its own. The pool is emptied before every write, so no reader
// in it is stale, pins old pages, or keeps bbolt from enlarging its memory map.
type readerPool struct {
	mu   sync.Mutex // guards the rest
	era  uint64     // changes when a write begins and when it ends; odd during a write
	idle []*reader
}

// maxIdle is the size of the pool: on most sites no more transactions have a snapshot at one time.
const maxIdle = 32

// get returns an idle reader, or nil and the current era for a new one.
func (p *readerPool) get() (r *reader, era uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		r, p.idle[n-1], p.idle = p.idle[n-1], nil, p.idle[:n-1]
	}
	return r, p.era
}

// put returns r to the pool. It refuses, and returns false, if something may have been written
// since r began, or the pool is full.
func (p *readerPool) put(r *reader) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.era != p.era || p.era%2 != 0 || len(p.idle) == maxIdle {
		return false
	}
	p.idle = append(p.idle, r)
	return true
}

// nextEra begins or ends a write, and returns the readers to close.
func (p *readerPool) nextEra() []*reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.era++
	readers := p.idle
	p.idle = nil
	return readers
}

// newestReader returns a reader that shows the newest state.
func (e *database) newestReader() (*reader, error) {
	r, era := e.readers.get()
	if r != nil {
		return r, nil
	}
	tx, err := e.begin(false)
	if err != nil {
		e.location.flushLog()
		return nil, err
	}
	return &reader{tx: tx, era: era}, nil
}

// releaseReader returns r to the pool, or ends it.
func (e *database) releaseReader(r *reader) {
	if !e.readers.put(r) {
		r.end()
	}
}

func (r *reader) end() { _ = rollback(r.tx) }

// lockWriter must be held from before a bbolt write transaction begins until its outcome is known,
// because bbolt gives the id of a failed transaction to the next one.
func (e *database) lockWriter() {
	e.writer.Lock()
	for _, r := range e.readers.nextEra() {
		r.end()
	}
}

func (e *database) unlockWriter() {
	e.readers.nextEra()
	e.writer.Unlock()
}
