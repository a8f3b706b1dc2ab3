package storage

import "slices"

// A keySet is a set of keys. Most transactions read few keys, so a slice is cheaper than a tree;
// duplicates are removed when it would grow, so that reading the same keys again and again does not
// grow it.
type keySet struct{ list []string }

// add adds key, and copies it only if it is new or not the last one.
func (s *keySet) add(key []byte) {
	n := len(s.list)
	if n > 0 && s.list[n-1] == string(key) {
		return
	}
	if n == cap(s.list) {
		s.sort()
		s.list = slices.Grow(s.list, max(4, len(s.list))) // doubles, so that sorting is rare
	}
	s.list = append(s.list, string(key))
}

// sorted returns the keys in order, each once. They are valid until the next add.
func (s *keySet) sorted() []string {
	s.sort()
	return s.list
}

func (s *keySet) sort() {
	slices.Sort(s.list)
	s.list = slices.Compact(s.list)
}
