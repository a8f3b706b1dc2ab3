// Package occ validates optimistic transactions for engines that have all of a database's commits in one process.
//
// An engine numbers its commits with a growing sequence, and knows of each snapshot which commit it shows. A [History]
// remembers, for every key written since the oldest snapshot in use, the last commit that wrote it; what a transaction has read
// is unchanged if none of it was written after its snapshot. Versions are compared and never values.
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
)

// maxBytes bounds the memory of a History, approximately.
const maxBytes = 64 << 20

// entryBytes is what an entry costs besides its key, approximately.
const entryBytes = 150

// A History remembers which keys were written since the oldest snapshot in use. The zero History is that of an engine whose last
// commit has number 0.
//
// Open and Close may be called by many goroutines at once. Validate and Commit are called by one goroutine at a time, the
// one that is committing.
type History struct {
	mu      sync.Mutex // guards current and the epochs
	current uint64     // the last commit
	oldest  *epoch     // list of those with open snapshots, oldest first
	newest  *epoch

	// The following belong to whoever is committing.
	keys  map[string]*btree.Map[string, *entry] // by bucket
	front *entry                                // list of all entries, the longest unwritten first
	back  *entry
	bytes int
	limit int    // 0: maxBytes
	floor uint64 // all writes after this commit are known
}

// An epoch is the snapshots that were opened between two commits.
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
func (h *History) Validate(c *storage.Changes, seq uint64) *storage.ConflictError {
	if len(c.Reads) == 0 && len(c.Ranges) == 0 {
		return nil
	}
	if seq < h.floor {
		return &storage.ConflictError{}
	}
	return conflict(h.keys, c, func(e *entry) bool { return e.seq > seq })
}

// Commit tells that commit seq wrote these keys.
func (h *History) Commit(seq uint64, writes []storage.Write) {
	h.mu.Lock()
	h.current = seq
	h.trim()
	needed := seq // all later commits have to be remembered
	if h.oldest != nil {
		needed = h.oldest.seq
	}
	h.mu.Unlock()

	if needed < seq {
		for i := range writes {
			h.remember(writes[i].Bucket, writes[i].Key, seq)
		}
	}
	for h.front != nil && h.front.seq <= needed {
		h.forget(h.front)
	}
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
