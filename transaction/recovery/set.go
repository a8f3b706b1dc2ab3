package recovery

import "sync"

// A Set is the databases of a program, as far as they have to do with two-phase commits. It is safe for concurrent use by multiple
// goroutines; the zero Set is empty.
type Set struct {
	mu           sync.Mutex // guards the rest
	participants []Participant
	deciders     []Decider
}

// Add adds a database, which may be a [Participant], a [Decider] or both; of anything else nothing becomes known. A call of remove
// takes it out again.
func (s *Set) Add(database any) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, isParticipant := database.(Participant)
	if isParticipant {
		s.participants = append(s.participants, p)
	}
	d, isDecider := database.(Decider)
	if isDecider {
		s.deciders = append(s.deciders, d)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if isParticipant {
			s.participants = without(s.participants, p)
		}
		if isDecider {
			s.deciders = without(s.deciders, d)
		}
	})
}

// without returns a new slice that lacks the first x in list.
func without[T comparable](list []T, x T) []T {
	for i := range list {
		if list[i] == x {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}
