package engine

// An Item is a key and its value. Both slices belong to the receiver.
type Item struct{ Key, Value []byte }

// A Range is the keys from From (inclusive) to To (exclusive); nil is unbounded. The zero Range is
// all keys.
type Range struct {
	From, To []byte
	// Reverse goes from the last key to the first.
	Reverse bool
}

// Empty reports whether no key can lie in r.
func (r Range) Empty() bool {
	return r.To != nil && string(r.From) >= string(r.To)
}

// Contains reports whether key lies in r.
func (r Range) Contains(key string) bool {
	return string(r.From) <= key && (r.To == nil || key < string(r.To))
}
