package storage

import "slices"

// Exported for tests of turns.
const (
	MaxTurnWait = maxTurnWait
	MaxTurnHold = maxTurnHold
)

// Turns returns how many keys somebody has the turn on, and how many commits are under way.
func Turns(db *DB) (held, admitted int) {
	ts := &db.core.turns
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.queues), len(ts.admitted)
}

// Intervals adds intervals to a set, and returns it; the last of each pair is the end, "" for none.
func Intervals(pairs ...[2]string) (set [][2]string, contain func(string) bool) {
	var s intervals
	for _, p := range pairs {
		s.add(interval{p[0], p[1]})
	}
	for _, iv := range s {
		set = append(set, [2]string{iv.from, iv.to})
	}
	return set, slices.Clone(s).contain
}
