package postgres

import (
	"math/big"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage/engine"
)

// A readSet is the keys and ranges that a view has read, with the versions that it found.
type readSet struct {
	buckets []*readBucket // a transaction uses few
}

type readBucket struct {
	name     string
	versions btree.Map[string, int64] // 0: the key does not exist
	covered  []interval               // ranges in which all existing keys are in versions
}

// interval is the keys from from (inclusive) to to (exclusive; empty: unbounded).
type interval struct{ from, to string }

func (i interval) contains(key string) bool { return i.from <= key && (i.to == "" || key < i.to) }

func (i interval) holds(other interval) bool {
	return i.from <= other.from && (i.to == "" || other.to != "" && other.to <= i.to)
}

func (s *readSet) bucket(name string) *readBucket {
	for _, b := range s.buckets {
		if b.name == name {
			return b
		}
	}
	b := &readBucket{name: name}
	s.buckets = append(s.buckets, b)
	return b
}

// version returns the version of a key that the view shows, if it is known.
func (b *readBucket) version(key string) (version int64, known bool) {
	if version, known = b.versions.Get(key); known {
		return version, true
	}
	return 0, slices.ContainsFunc(b.covered, func(i interval) bool { return i.contains(key) })
}

// sum returns values that differ after any change in a range: the number of keys, and the sum of
// their versions.
func (b *readBucket) sum(i interval) (number int64, total string) {
	var sum, one big.Int
	b.versions.Ascend(i.from, func(key string, version int64) bool {
		if !i.contains(key) {
			return false
		}
		if version != 0 {
			number++
			sum.Add(&sum, one.SetInt64(version))
		}
		return true
	})
	return number, sum.String()
}

// all returns reads of all keys and ranges of s, to check that they are unchanged.
func (s *readSet) all() *engine.Changes {
	c := &engine.Changes{}
	for _, b := range s.buckets {
		for _, i := range b.covered {
			c.Ranges = append(c.Ranges, engine.ReadRange{Bucket: b.name, From: i.from, To: i.to})
		}
		b.versions.Scan(func(key string, _ int64) bool {
			if !slices.ContainsFunc(b.covered, func(i interval) bool { return i.contains(key) }) {
				c.Reads = append(c.Reads, engine.ReadKey{Bucket: b.name, Key: key})
			}
			return true
		})
	}
	return c
}

// after returns the key next to key.
func after(key string) string { return strings.Clone(key) + "\x00" }
