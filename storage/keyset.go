package storage

import "slices"

// A keySet is a set of keys. Most transactions read few, so they are kept in a list; what is in it twice is taken out before it grows,
// so a loop that reads the same keys for ever does not grow it. (A tree costs three allocations and 400 bytes before it has the
// first key, which is a tenth of a request that reads a session.)
type keySet struct{ list []string }

// add adds key, which it copies only if it has to.
func (s *keySet) add(key []byte) {
	n := len(s.list)
	if n > 0 && s.list[n-1] == string(key) {
		return
	}
	if n == cap(s.list) {
		s.sort()
		s.list = slices.Grow(s.list, max(4, len(s.list))) // so much room that sorting is rare
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
