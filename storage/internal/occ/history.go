// Package occ validates optimistic transactions for engines whose commits all happen in one
// process.
//
// An engine numbers its commits in sequence, and knows for each snapshot the last commit that it
// shows. A [History] stores, for every key written since the oldest snapshot in use, the last
// commit that wrote it. The reads of a transaction are valid if none of the keys was written after
// its snapshot. Versions are compared, not values.
//
// A commit takes part in validation from the moment it is accepted, before it is decided and
// visible in snapshots. If it fails later, transactions that conflicted with it merely retry.
//
// # Caveats
//
// Writes that no open snapshot needs are forgotten, and the rest is limited in size: beyond the
// limit the oldest writes are forgotten, and transactions whose snapshot is older than those can't
// be validated and conflict.
package occ

import (
	"sync"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// maxBytes bounds the memory of a History, approximately.
const maxBytes = 64 << 20

// entryBytes is the size of an entry without its key, approximately.
const entryBytes = 166

// A History stores which keys were written since the oldest snapshot in use. The zero History is
// that of an engine whose last commit has number 0.
//
// Open and Close may be called concurrently. The other methods are called by one goroutine at a
// time.
type History struct {
	mu      sync.Mutex // guards current and the epochs
	current uint64     // the last decided commit; all before it are decided too
	oldest  *epoch     // list of the epochs with open snapshots, oldest first
	newest  *epoch

	// The following are used by Validate, Accept, Decide and Commit only.
	keys map[string]*btree.Map[string, *entry] // by bucket
	// list of all entries, ordered by last write, oldest first
	front *entry
	back  *entry
	bytes int
	limit int    // 0: maxBytes
	floor uint64 // all writes after this commit are known
}

// An epoch counts the open snapshots that were opened between two decisions.
type epoch struct {
	seq  uint64
	open int
	next *epoch
}

// An entry is the last write of a key.
type entry struct {
	bucket, key string
	seq         uint64
	by          string // engine.Changes.By of that write
	prev, next  *entry
}

// A Snapshot keeps the writes since it was opened in the history.
type Snapshot struct{ epoch *epoch }

// New returns the history of an engine whose last commit is number current.
func New(current uint64) *History {
	return &History{current: current, floor: current}
}

// Open must be called before the engine takes its snapshot; otherwise a commit in between could be
// forgotten.
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

// Close is called once, when the transaction of s has been validated or has ended.
func (h *History) Close(s Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.epoch.open--
	h.trim()
}

// trim drops the epochs without open snapshots. That of the last commit stays, for the next
// snapshot. It is called with mu locked.
func (h *History) trim() {
	for h.oldest != nil && h.oldest.open == 0 && h.oldest.seq != h.current {
		h.oldest = h.oldest.next
	}
	if h.oldest == nil {
		h.newest = nil
	}
}

// Validate returns a conflict if c read a key that a commit after seq has written.
func (h *History) Validate(c *engine.Changes, seq uint64) *storage.ConflictError {
	if len(c.Reads) == 0 && len(c.Ranges) == 0 {
		return nil
	}
	if seq < h.floor {
		return &storage.ConflictError{}
	}
	lost := conflict(h.keys, c, func(e *entry) bool { return e.seq > seq })
	if lost != nil {
		if e, ok := h.keys[lost.Bucket].Get(string(lost.Key)); ok {
			lost.By = e.by
		}
	}
	return lost
}

// Accept records that commit seq is going to make the changes c.
func (h *History) Accept(seq uint64, c *engine.Changes) {
	for i := range c.Writes {
		h.remember(c.Writes[i].Bucket, c.Writes[i].Key, seq, c.By)
	}
	h.bound()
}

// Decide records that all commits up to seq are decided: snapshots opened from now on show those
// that did not fail.
func (h *History) Decide(seq uint64) {
	needed := h.advance(seq)
	for h.front != nil && h.front.seq <= needed {
		h.forget(h.front)
	}
}

// Commit is Accept and Decide in one call.
func (h *History) Commit(seq uint64, c *engine.Changes) {
	if h.advance(seq) < seq {
		h.Accept(seq, c)
	}
	h.Decide(seq)
}

// advance makes seq the last decided commit, and returns the last commit that no snapshot needs in
// the history.
func (h *History) advance(seq uint64) (needed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = seq
	h.trim()
	if h.oldest != nil {
		return h.oldest.seq
	}
	return seq // no snapshot is open
}

// bound forgets the oldest writes beyond the memory limit.
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

func (h *History) remember(bucket, key string, seq uint64, by string) {
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
	e.seq, e.by = seq, by
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
