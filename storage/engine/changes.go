package engine

// Changes is the reads of one transaction, which must be unchanged for it to commit, and its writes.
// An engine must not modify it. All lists are sorted by bucket and key.
type Changes struct {
	Reads  []ReadKey
	Ranges []ReadRange
	Writes []Write

	// Locked are the keys that a [KeyLocker] has locked for this transaction.
	Locked []ReadKey

	// Accepted, if not nil, is called by Commit of a [Speculative] engine when the commit is
	// accepted: at most once, and on the goroutine that called Commit.
	Accepted func()

	// By is the name of the request or job that makes the changes, if it has listeners; else it is
	// empty. An engine that remembers the writes sets it in the conflict of a transaction that loses over one.
	By string

	// Decision is the transaction's id if other participants hold prepared work and this commit
	// decides over it; else it is empty. A [Recorder] records it in the same atomic step.
	Decision string
}

// A ReadKey is a key that was looked up, whether or not it existed.
type ReadKey struct{ Bucket, Key string }

// A ReadRange is the part of a bucket that an iteration went through, from From (inclusive) to To
// (exclusive; empty: unbounded).
type ReadRange struct{ Bucket, From, To string }

// Contains reports whether key lies in the range.
func (r ReadRange) Contains(key string) bool { return r.From <= key && (r.To == "" || key < r.To) }

// A Write is the new value of a key; nil deletes the key (an empty value is not nil). An engine may
// keep the slice, but must not change it.
type Write struct {
	Bucket, Key string
	Value       []byte
}
