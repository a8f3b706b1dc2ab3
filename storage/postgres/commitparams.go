package postgres

import (
	"bytes"
	"cmp"
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
	version int64           // of the written rows
	changes *engine.Changes // of one commit

	read struct {
		buckets, keys [][]byte
		versions      []int64
	}
	span struct { // the ranges
		buckets, lows, highs [][]byte
		numbers              []int64
		totals               []string
	}
	locks     []*int64 // in step with the writes; null is never refused
	deleted   [2][][]byte
	put       [3][][]byte
	versions  []int64 // in step with put
	commitIDs []string
}

// A pair is a bucket and a key.
type pair struct{ bucket, key string }

func (p pair) compare(other pair) int {
	return cmp.Or(cmp.Compare(p.bucket, other.bucket), cmp.Compare(p.key, other.key))
}

// newCommitParams returns the parameters of c. The versions of the reads are in s. A commit checks
// the locks of its keys unless lock, which returns their numbers, is nil.
func newCommitParams(c *engine.Changes, s *readSet,
	lock func(bucket, key string) int64,
) (*commitParams, error) {
	w := &commitParams{changes: c}
	w.version = rand.Int64N(1<<62) + 1 //nolint:gosec // unique, not secret
	if n := len(c.Reads); n > 0 {
		w.parts |= reads
		to := &w.read
		to.buckets, to.keys, to.versions = make([][]byte, n), make([][]byte, n), make([]int64, n)
		for i, r := range c.Reads {
			version, known := s.bucket(r.Bucket).version(r.Key)
			if !known {
				return nil, fmt.Errorf("key %.32q in bucket %q counts as read, "+
					"but has no known version", r.Key, r.Bucket)
			}
			to.buckets[i], to.keys[i], to.versions[i] = []byte(r.Bucket), []byte(r.Key), version
		}
	}
	if n := len(c.Ranges); n > 0 {
		w.parts |= ranges
		to := &w.span
		to.buckets, to.lows, to.highs = make([][]byte, n), make([][]byte, n), make([][]byte, n)
		to.numbers, to.totals = make([]int64, n), make([]string, n)
		for i, r := range c.Ranges {
			to.buckets[i], to.lows[i] = []byte(r.Bucket), []byte(r.From)
			if r.To != "" {
				to.highs[i] = []byte(r.To)
			}
			to.numbers[i], to.totals[i] = s.bucket(r.Bucket).sum(interval{r.From, r.To})
		}
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
	w.locks = make([]*int64, len(c.Writes))
	for i, write := range c.Writes {
		if !mine[pair{write.Bucket, write.Key}] {
			w.locks[i] = new(lock(write.Bucket, write.Key))
		}
	}
}

func (w *commitParams) addWrites(c *engine.Changes) {
	for _, write := range c.Writes {
		w.addWrite(write, w.version)
	}
}

// addWrite adds a write; version is that of the row.
func (w *commitParams) addWrite(write engine.Write, version int64) {
	bucket, key := []byte(write.Bucket), []byte(write.Key)
	if write.Value == nil {
		w.parts |= deletes
		w.deleted[0], w.deleted[1] = append(w.deleted[0], bucket), append(w.deleted[1], key)
		return
	}
	w.parts |= puts
	w.put[0], w.put[1] = append(w.put[0], bucket), append(w.put[1], key)
	w.put[2], w.versions = append(w.put[2], write.Value), append(w.versions, version)
}

// addCommitID adds the id of the commit's record; it is called last. With waits, the commit waits
// for the disk, whatever the session's setting is.
func (w *commitParams) addCommitID(id string, waits bool) {
	w.commitIDs = []string{id}
	w.parts |= decision
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
	if w.parts&(ranges|deletes) != 0 || len(w.commitIDs) != 1 ||
		s.puts == 0 || s.puts > maxSmall || s.reads > maxSmall {
		return s, nil, false
	}
	args = append(make([]any, 0, 2+3*s.reads+len(w.locks)+3*s.puts), w.commitIDs[0], w.version)
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
	if w.parts&reads != 0 {
		check = append(check, w.read.buckets, w.read.keys, w.read.versions)
	}
	if w.parts&ranges != 0 {
		r := &w.span
		check = append(check, r.buckets, r.lows, r.highs, r.numbers, r.totals)
	}
	if w.parts&keyLocks != 0 {
		check = append(check, w.locks)
	}
	if w.parts&deletes != 0 {
		writes = append(writes, partial{deletes, []any{w.deleted[0], w.deleted[1]}})
	}
	if w.parts&puts != 0 {
		writes = append(writes, partial{puts, []any{w.put[0], w.put[1], w.put[2], w.versions}})
	}
	if w.parts&decision != 0 {
		writes = append(writes, partial{decision | w.parts&durable, []any{w.commitIDs}})
	}
	return check, writes
}

// all returns the parameters of the statement that checks and writes.
func (w *commitParams) all() []any {
	args, writes := w.split()
	for _, write := range writes {
		args = append(args, write.args...)
	}
	return args
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
