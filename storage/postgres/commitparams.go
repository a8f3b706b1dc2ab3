package postgres

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"github.com/pasteline/pasteline/storage/engine"
)

// maxKeyLocks is the number of written keys up to which a commit checks whether other processes
// hold the lock of one. The locks are only for fairness, and the server's table of locks is too
// small for bulk writes.
const maxKeyLocks = 32

// commitParams are the parameters of a commit's statements.
type commitParams struct {
	parts   parts
	args    []any
	version int64 // of the written rows

	changes *engine.Changes

	// The same parameters one by one, for small commits: see small.
	read struct {
		buckets, keys [][]byte
		versions      []int64
	}
	locks    []*int64
	put      [3][][]byte
	commitID string
}

// A pair is a bucket and a key.
type pair struct{ bucket, key string }

// newCommitParams returns the parameters of c. The versions of the reads are in s. A commit checks
// the locks of its keys unless lock, which returns their numbers, is nil.
func newCommitParams(c *engine.Changes, s *readSet,
	lock func(bucket, key string) int64,
) (*commitParams, error) {
	w := &commitParams{changes: c}
	w.version = rand.Int64N(1<<62) + 1 //nolint:gosec // unique, not secret
	if n := len(c.Reads); n > 0 {
		w.parts |= reads
		buckets, keys, versions := make([][]byte, n), make([][]byte, n), make([]int64, n)
		for i, r := range c.Reads {
			version, known := s.bucket(r.Bucket).version(r.Key)
			if !known {
				return nil, fmt.Errorf("key %.32q in bucket %q counts as read, "+
					"but has no known version", r.Key, r.Bucket)
			}
			buckets[i], keys[i], versions[i] = []byte(r.Bucket), []byte(r.Key), version
		}
		w.read.buckets, w.read.keys, w.read.versions = buckets, keys, versions
		w.args = append(w.args, buckets, keys, versions)
	}
	if n := len(c.Ranges); n > 0 {
		w.parts |= ranges
		buckets, lows, highs := make([][]byte, n), make([][]byte, n), make([][]byte, n)
		numbers, totals := make([]int64, n), make([]string, n)
		for i, r := range c.Ranges {
			buckets[i], lows[i] = []byte(r.Bucket), []byte(r.From)
			if r.To != "" {
				highs[i] = []byte(r.To)
			}
			numbers[i], totals[i] = s.bucket(r.Bucket).sum(interval{r.From, r.To})
		}
		w.args = append(w.args, buckets, lows, highs, numbers, totals)
	}
	w.addKeyLocks(c, lock)
	w.addWrites(c)
	return w, nil
}

func (w *commitParams) addKeyLocks(c *engine.Changes, lock func(bucket, key string) int64) {
	if lock == nil || len(c.Writes) == 0 || len(c.Writes) > maxKeyLocks {
		return
	}
	w.parts |= keyLocks
	mine := make(map[pair]bool, len(c.Locked))
	for _, k := range c.Locked {
		mine[pair{k.Bucket, k.Key}] = true
	}
	locks := make([]*int64, len(c.Writes)) // in step with the writes; null is never refused
	for i, write := range c.Writes {
		if !mine[pair{write.Bucket, write.Key}] {
			locks[i] = new(lock(write.Bucket, write.Key))
		}
	}
	w.locks, w.args = locks, append(w.args, locks)
}

func (w *commitParams) addWrites(c *engine.Changes) {
	var deleted [3][][]byte
	put := &w.put
	for _, write := range c.Writes {
		bucket, key := []byte(write.Bucket), []byte(write.Key)
		if write.Value == nil {
			deleted[0], deleted[1] = append(deleted[0], bucket), append(deleted[1], key)
		} else {
			put[0], put[1] = append(put[0], bucket), append(put[1], key)
			put[2] = append(put[2], write.Value)
		}
	}
	if len(deleted[0]) > 0 {
		w.parts |= deletes
		w.args = append(w.args, deleted[0], deleted[1])
	}
	if len(put[0]) > 0 {
		w.parts |= puts
		w.args = append(w.args, put[0], put[1], put[2], w.version)
	}
}

// addCommitID adds the id of the commit's record; it is called last. With waits, the commit waits
// for the disk, whatever the session's setting is.
func (w *commitParams) addCommitID(id string, waits bool) {
	w.commitID = id
	w.parts, w.args = w.parts|decision, append(w.args, id)
	if waits {
		w.parts |= durable
	}
}

// maxSmall is the largest number of keys that a small commit reads, and that it writes.
const maxSmall = 4

// small returns the shape and the parameters of a small commit, whose statement needs no arrays;
// nearly all commits are small. For others ok is false.
func (w *commitParams) small() (s shape, args []any, ok bool) {
	s = shape{
		reads: len(w.read.keys), puts: len(w.put[0]),
		locks: len(w.locks) > 0, durable: w.parts&durable != 0,
	}
	if w.parts&(ranges|deletes) != 0 || w.parts&decision == 0 ||
		s.puts == 0 || s.puts > maxSmall || s.reads > maxSmall {
		return s, nil, false
	}
	args = append(make([]any, 0, 2+3*s.reads+len(w.locks)+3*s.puts), w.commitID, w.version)
	replaced := w.replaced()
	if replaced >= 0 {
		s.reads, s.replaces = s.reads-1, true
		args = append(args, w.put[0][0], w.put[1][0], w.read.versions[replaced], w.put[2][0])
	}
	for i, version := range w.read.versions {
		if i != replaced {
			args = append(args, w.read.buckets[i], w.read.keys[i], version)
		}
	}
	for _, lock := range w.locks {
		args = append(args, lock)
	}
	if !s.replaces {
		for i := range s.puts {
			args = append(args, w.put[0][i], w.put[1][i], w.put[2][i])
		}
	}
	return s, args, true
}

// replaced returns the index of the read whose row the only put replaces, or -1.
func (w *commitParams) replaced() int {
	if len(w.put[0]) != 1 {
		return -1
	}
	for i, version := range w.read.versions {
		if version != 0 && bytes.Equal(w.read.buckets[i], w.put[0][0]) &&
			bytes.Equal(w.read.keys[i], w.put[1][0]) {
			return i
		}
	}
	return -1
}

// split returns the parameters of the check, and those of each write.
func (w *commitParams) split() (check []any, writes []partial) {
	rest := w.args
	take := func(p parts, n int) []any {
		if w.parts&p == 0 {
			return nil
		}
		args := rest[:n:n]
		rest = rest[n:]
		return args
	}
	check = append(check, take(reads, 3)...)
	check = append(check, take(ranges, 5)...)
	check = append(check, take(keyLocks, 1)...)
	for _, part := range []partial{
		{deletes, take(deletes, 2)},
		{puts, take(puts, 4)},
		{decision | w.parts&durable, take(decision, 1)},
	} {
		if part.args != nil {
			writes = append(writes, part)
		}
	}
	return check, writes
}

// A partial is one part of a commit, for a statement of its own.
type partial struct {
	part parts
	args []any
}

// lockNumber returns the number of an advisory lock. Collisions only cause unnecessary waiting.
func lockNumber(words ...string) int64 {
	h := fnv.New64a()
	for _, word := range words {
		_, _ = h.Write([]byte(word)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return int64(h.Sum64()) //nolint:gosec // all 64 bits
}
