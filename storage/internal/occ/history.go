// Package occ validates optimistic transactions for engines that have all of a database's commits in one process.
//
// An engine numbers its commits with a growing sequence, and knows of each snapshot which commit it shows. A [History]
// remembers, for every key written since the oldest snapshot in use, the last commit that wrote it; what a transaction has read
// is unchanged if none of it was written after its snapshot. Versions are compared and never values.
//
// A commit counts from the moment in which it is accepted, even if it takes a while until it is decided and snapshots show it. If it
// fails then, nobody is the worse for it: those who had read what it was to write conflict with it once.
//
// # Caveats
//
// What no open snapshot needs is forgotten, and there is an upper bound for the rest: beyond it the oldest writes are forgotten,
// and transactions whose snapshot is older than those can't be validated any more and conflict.
package occ

import (
	"sync"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// maxBytes bounds the memory of a History, approximately.
const maxBytes = 64 << 20

// entryBytes is what an entry costs besides its key, approximately.
const entryBytes = 150

// A History remembers which keys were written since the oldest snapshot in use. The zero History is that of an engine whose last
// commit has number 0.
//
// Open and Close may be called by many goroutines at once. The other methods are called by one goroutine at a time.
type History struct {
	mu      sync.Mutex // guards current and the epochs
	current uint64     // the last commit that is decided, as all before it are
	oldest  *epoch     // list of those with open snapshots, oldest first
	newest  *epoch

	// The following belong to whoever calls Validate, Accept, Decide and Commit.
	keys  map[string]*btree.Map[string, *entry] // by bucket
	front *entry                                // list of all entries, the longest unwritten first
	back  *entry
	bytes int
	limit int    // 0: maxBytes
	floor uint64 // all writes after this commit are known
}

// An epoch is the snapshots that were opened between two decisions.
type epoch struct {
	seq  uint64
	open int
	next *epoch
}

// An entry is the last write of a key.
type entry struct {
	bucket, key string
	seq         uint64
	prev, next  *entry
}

// A Snapshot keeps the history since it was opened.
type Snapshot struct{ epoch *epoch }

// New returns the history of an engine whose last commit is current.
func New(current uint64) *History {
	return &History{current: current, floor: current}
}

// Open is called before an engine takes a snapshot, so that no commit can be forgotten in between.
func (h *History) Open() Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.newest == nil || h.newest.seq != h.current {
		e := &epoch{seq: h.current}
		if h.newest == nil {
			h.oldest = e
		} else {
			h.newest.next = e
		}
		h.newest = e
	}
	h.newest.open++
	return Snapshot{h.newest}
}

// Close is called once, when the transaction of s has been validated or given up.
func (h *History) Close(s Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.epoch.open--
	h.trim()
}

// trim drops the epochs that nobody needs. That of the last commit stays, for the next who opens a snapshot. It is called with mu locked.
func (h *History) trim() {
	for h.oldest != nil && h.oldest.open == 0 && h.oldest.seq != h.current {
		h.oldest = h.oldest.next
	}
	if h.oldest == nil {
		h.newest = nil
	}
}

// Validate returns a conflict if c read something that was written by a commit after seq.
func (h *History) Validate(c *engine.Changes, seq uint64) *storage.ConflictError {
	if len(c.Reads) == 0 && len(c.Ranges) == 0 {
		return nil
	}
	if seq < h.floor {
		return &storage.ConflictError{}
	}
	return conflict(h.keys, c, func(e *entry) bool { return e.seq > seq })
}

// Accept tells that commit seq is going to write these keys.
func (h *History) Accept(seq uint64, writes []engine.Write) {
	for i := range writes {
		h.remember(writes[i].Bucket, writes[i].Key, seq)
	}
	h.bound()
}

// Decide tells that all commits up to seq are decided: snapshots that are opened from now on show those that did not fail.
func (h *History) Decide(seq uint64) {
	needed := h.advance(seq)
	for h.front != nil && h.front.seq <= needed {
		h.forget(h.front)
	}
}

// Commit is Accept and Decide at once.
func (h *History) Commit(seq uint64, writes []engine.Write) {
	if h.advance(seq) < seq {
		h.Accept(seq, writes)
	}
	h.Decide(seq)
}

// advance makes seq the last commit that is decided, and returns the last one of which no snapshot needs to know any more.
func (h *History) advance(seq uint64) (needed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = seq
	h.trim()
	if h.oldest != nil {
		return h.oldest.seq
	}
	return seq // all later commits have to be remembered
}

// bound keeps the memory within bounds.
func (h *History) bound() {
	limit := h.limit
	if limit == 0 {
		limit = maxBytes
	}
	for h.front != nil && h.bytes > limit {
		h.floor = h.front.seq
		h.forget(h.front)
	}
}

func (h *History) remember(bucket, key string, seq uint64) {
	keys := h.keys[bucket]
	if keys == nil {
		if h.keys == nil {
			h.keys = make(map[string]*btree.Map[string, *entry])
		}
		keys = &btree.Map[string, *entry]{}
		h.keys[bucket] = keys
	}
	e, ok := keys.Get(key)
	if ok {
		h.unlink(e)
	} else {
		e = &entry{bucket: bucket, key: key}
		keys.Set(key, e)
		h.bytes += len(key) + entryBytes
	}
	e.seq = seq
	e.prev = h.back
	if h.back == nil {
		h.front = e
	} else {
		h.back.next = e
	}
	h.back = e
}

func (h *History) forget(e *entry) {
	h.unlink(e)
	keys := h.keys[e.bucket]
	keys.Delete(e.key)
	if keys.Len() == 0 {
		delete(h.keys, e.bucket)
	}
	h.bytes -= len(e.key) + entryBytes
}

func (h *History) unlink(e *entry) {
	if e.prev == nil {
		h.front = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		h.back = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}
