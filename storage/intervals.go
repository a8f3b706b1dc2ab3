package storage

import "slices"

// An interval is the keys from from (inclusive) to to (exclusive; empty: unbounded).
type interval struct{ from, to string }

// intervalOf returns the interval of r. Both ends share one allocation.
func intervalOf(r Range) interval {
	both := string(r.From) + string(r.To)
	return interval{both[:len(r.From)], both[len(r.From):]}
}

// keyInterval returns the interval of one key.
func keyInterval(key []byte) interval { return interval{string(key), string(key) + "\x00"} }

// endsBefore reports whether iv ends before key and doesn't touch it.
func (iv interval) endsBefore(key string) bool { return iv.to != "" && iv.to < key }

// intervals is a set of keys as sorted intervals that don't touch, so that reading the same range
// again and again does not grow it.
type intervals []interval

func (s *intervals) add(iv interval) {
	// The intervals from first to last (exclusive) touch iv and are merged with it.
	first, _ := slices.BinarySearchFunc(*s, iv.from, func(iv interval, from string) int {
		if iv.endsBefore(from) {
			return -1
		}
		return 1
	})
	last := first
	for ; last < len(*s) && !iv.endsBefore((*s)[last].from); last++ {
		iv.from = min(iv.from, (*s)[last].from)
		if to := (*s)[last].to; to == "" || iv.to != "" && iv.to < to {
			iv.to = to
		}
	}
	*s = slices.Replace(*s, first, last, iv)
}

func (s intervals) contain(key string) bool {
	i, _ := slices.BinarySearchFunc(s, key, func(iv interval, key string) int {
		if iv.to != "" && iv.to <= key {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].from <= key
}
