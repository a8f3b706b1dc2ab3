package storage

import "github.com/pasteline/pasteline/storage/engine"

// An Item is a key and its value. Both slices belong to the caller.
type Item = engine.Item

// A Range is the keys from From (inclusive) to To (exclusive); nil is unbounded. The zero Range is
// all keys. With Reverse it goes from the last key to the first.
type Range = engine.Range

// Prefix returns the range of the keys that start with p.
func Prefix(p []byte) Range {
	return Range{From: p, To: after(p)}
}

// after returns the first key that is greater than all keys that start with p; nil if there is
// none.
func after(p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < 0xff {
			end := make([]byte, i+1)
			copy(end, p)
			end[i]++
			return end
		}
	}
	return nil
}
