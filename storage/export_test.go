package storage

import "slices"

// Exported for tests of the key queue.
const (
	MaxTicketWait = maxTicketWait
	MaxTicketHold = maxTicketHold
)

// Tickets returns the number of tickets, granted or waiting, and of commits in flight.
func Tickets(db *DB) (queued, admitted int) {
	ts := &db.core.queue
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.queue), len(ts.admitted)
}

// ConflictOver returns a conflict such as e, but over a range of a bucket.
func ConflictOver(db *DB, e *ConflictError, bucket, from, to string) *ConflictError {
	return &ConflictError{DB: e.DB, Bucket: bucket, queue: &db.core.queue, lost: span{bucket, from, to}}
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

// KeySet adds keys to a set, and returns them with the capacity of the set.
func KeySet(keys ...string) (sorted []string, room int) {
	var s keySet
	for _, key := range keys {
		s.add([]byte(key))
	}
	return s.sorted(), cap(s.list)
}
