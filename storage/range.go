package storage

// An Item is a key and its value. Both belong to whoever got it.
type Item struct{ Key, Value []byte }

// A Range is the keys from From (inclusive) to To (exclusive); nil is open. The zero Range is all keys.
type Range struct {
	From, To []byte
	// Reverse goes from the last key to the first.
	Reverse bool
}

// Prefix is the range of the keys that start with p.
func Prefix(p []byte) Range {
	return Range{From: p, To: after(p)}
}

// after returns the first key that is greater than all keys that start with p; nil if there is none.
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

// empty reports whether no key can lie in r.
func (r Range) empty() bool {
	return r.To != nil && string(r.From) >= string(r.To)
}

// contains reports whether key lies in r.
func (r Range) contains(key string) bool {
	return string(r.From) <= key && (r.To == nil || key < string(r.To))
}
