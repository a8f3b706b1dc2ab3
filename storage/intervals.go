package storage

import "slices"

// An interval is the keys from from (inclusive) to to (exclusive; empty: without end).
type interval struct{ from, to string }

// intervalOf copies both ends in one piece.
func intervalOf(r Range) interval {
	both := string(r.From) + string(r.To)
	return interval{both[:len(r.From)], both[len(r.From):]}
}

// keyInterval is that of one key.
func keyInterval(key []byte) interval { return interval{string(key), string(key) + "\x00"} }

// endsBefore reports whether iv ends before key, so far that the two don't touch.
func (iv interval) endsBefore(key string) bool { return iv.to != "" && iv.to < key }

// intervals is a set of keys as sorted intervals that don't touch, so that a loop that reads the same range for ever does not
// grow it.
type intervals []interval

func (s *intervals) add(iv interval) {
	// All from first up to last (exclusive) touch iv and become one with it.
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
