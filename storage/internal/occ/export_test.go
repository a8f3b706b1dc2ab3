package occ

// Size returns what a history holds: keys, their approximate bytes, and epochs.
func (h *History) Size() (keys, bytes, epochs int) {
	for _, bucket := range h.keys {
		keys += bucket.Len()
	}
	for e := h.oldest; e != nil; e = e.next {
		epochs++
	}
	return keys, h.bytes, epochs
}

// SetLimit bounds the bytes.
func (h *History) SetLimit(bytes int) { h.limit = bytes }
