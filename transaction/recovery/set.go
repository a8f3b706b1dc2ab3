package recovery

import (
	"slices"
	"sync"
)

// A Set is the databases of a program that take part in two-phase commits. It is safe for
// concurrent use by multiple goroutines; the zero Set is empty.
type Set struct {
	mu           sync.Mutex // guards the rest
	participants []Participant
	recorders    []Recorder
}

// Add adds a database, which may be a [Participant], a [Recorder] or both, and has to be
// comparable, as pointers are; a database that is neither is ignored. Calling remove takes it out
// again. One database may be added through several objects, as happens while one pipeline replaces
// another.
func (s *Set) Add(database any) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, isParticipant := database.(Participant)
	if isParticipant {
		s.participants = append(s.participants, p)
	}
	d, isRecorder := database.(Recorder)
	if isRecorder {
		s.recorders = append(s.recorders, d)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if isParticipant {
			s.participants = without(s.participants, p)
		}
		if isRecorder {
			s.recorders = without(s.recorders, d)
		}
	})
}

// databases returns the current members of the set.
func (s *Set) databases() ([]Participant, []Recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.participants), slices.Clone(s.recorders)
}

// has reports whether p is still in the set.
func (s *Set) has(p Participant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.participants, p)
}

// without returns list without the first x.
func without[T comparable](list []T, x T) []T {
	if i := slices.Index(list, x); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
