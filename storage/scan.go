package storage

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"

	"github.com/pasteline/pasteline/storage/engine"
)

// Range iterates over the keys of r in order, or from the last to the first with Reverse. The items
// belong to the caller.
//
// The loop sees the bucket as it was when the loop began: later puts and deletes, also by the loop
// itself, are visible only to later reads. The part of the range that the loop went through counts
// as read, up to the last key that it was given, including the gaps between keys; if the loop is
// left early, the rest does not. (Unlike with Get, keys in that part that the transaction has
// written itself count too.)
//
// An error comes with a zero Item and ends the iteration.
func (b Bucket) Range(r Range) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		s := &scan{bucket: b, r: r, yield: yield}
		if err := s.run(); err != nil && !s.left {
			yield(Item{}, err)
		}
	}
}

// Items returns the items of Range as a slice. For few items it is cheaper than a loop.
func (b Bucket) Items(r Range) ([]Item, error) {
	if items, ok, err := b.list(r); ok || err != nil {
		return items, err
	}
	return collect(b.Range(r))
}

func collect(seq iter.Seq2[Item, error]) (items []Item, err error) {
	for item, err := range seq {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// list gets the items from the engine, if it is a Lister and the transaction has not written in r.
func (b Bucket) list(r Range) (items []Item, ok bool, err error) {
	b.tx.mu.Lock()
	defer b.tx.mu.Unlock()
	if err := b.usable(); err != nil || r.Empty() {
		return nil, true, err
	}
	view, err := b.tx.open()
	if err != nil {
		return nil, false, err
	}
	lister, ok := view.(engine.Lister)
	if !ok || b.data.wroteIn(r) {
		return nil, false, nil
	}
	if items, err = lister.List(b.data.name, r); err != nil {
		return nil, false, b.tx.explainRead(err, b.data.name, intervalOf(r))
	}
	if !b.snapshot {
		b.data.ranges.add(intervalOf(r))
	}
	if b.tx.seen.AccessListening() {
		size := 0
		for i := range items {
			size += len(items[i].Value)
		}
		b.tx.tellRange(b.data.name, intervalOf(r), size)
	}
	return items, true, nil
}

// wroteIn reports whether the transaction has put or deleted a key in r.
func (b *bucketData) wroteIn(r Range) bool {
	if b.writes == nil {
		return false
	}
	found := false
	b.writes.Ascend(string(r.From), func(key string, _ []byte) bool {
		found = r.Contains(key)
		return false
	})
	return found
}

// A scan is the state of one iteration.
type scan struct {
	bucket    Bucket
	r         Range
	yield     func(Item, error) bool
	last      []byte // a copy of the last key, because the caller may change the item; empty: none
	bytes     int    // of the values so far
	exhausted bool
	left      bool // by the loop's body
}

func (s *scan) run() error {
	tx, data := s.bucket.tx, s.bucket.data
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := s.bucket.usable(); err != nil {
		return err
	}
	if s.r.Empty() {
		return nil
	}
	view, err := tx.open()
	if err != nil {
		return err
	}
	own := newOwnWrites(data.writes, s.r)
	tx.scans = append(tx.scans, s)
	defer s.end()
	for item, err := range view.Range(data.name, s.r) {
		if err != nil {
			return tx.explainRead(err, data.name, intervalOf(s.r))
		}
		replaced := false
		for own.ok && !replaced && own.notAfter(item.Key) {
			replaced = own.key() == string(item.Key)
			if !s.yieldOwn(own) {
				return tx.errEnded()
			}
			own.next()
		}
		if !replaced && !s.yieldItem(item) {
			return tx.errEnded()
		}
	}
	for ; own.ok; own.next() {
		if !s.yieldOwn(own) {
			return tx.errEnded()
		}
	}
	s.exhausted = true
	return nil
}

func (s *scan) yieldOwn(own *ownWrites) bool {
	value := own.value()
	if value == nil {
		return true // deleted
	}
	// an empty value is not nil
	item := Item{Key: []byte(own.key()), Value: append(make([]byte, 0, len(value)), value...)}
	return s.yieldItem(item)
}

// yieldItem calls the loop body and reports whether to continue: the loop was not left, and the
// transaction not ended in its body.
func (s *scan) yieldItem(item Item) bool {
	s.last = append(s.last[:0], item.Key...)
	s.bytes += len(item.Value)
	s.left = !s.callBody(item)
	return !s.left && !s.bucket.tx.ended
}

// callBody unlocks the Tx while the loop body runs, also if that panics.
func (s *scan) callBody(item Item) bool {
	s.bucket.tx.mu.Unlock()
	defer s.bucket.tx.mu.Lock()
	return s.yield(item, nil)
}

// record adds the part of the range that was iterated over to the transaction's reads.
func (s *scan) record() {
	if consumed, ok := s.consumed(); ok && !s.bucket.snapshot {
		s.bucket.data.ranges.add(consumed)
	}
}

// consumed returns the part of the range that was iterated over; not ok if no item was given.
func (s *scan) consumed() (consumed interval, ok bool) {
	if !s.exhausted && len(s.last) == 0 {
		return interval{}, false
	}
	consumed = intervalOf(s.r)
	switch {
	case s.exhausted:
	case s.r.Reverse:
		consumed.from = string(s.last)
	default:
		consumed.to = string(s.last) + "\x00" // the next possible key
	}
	return consumed, true
}

// end also runs after a panic in the loop body.
func (s *scan) end() {
	tx := s.bucket.tx
	if tx.ended {
		return // the commit, if any, has called record
	}
	s.record()
	if tx.seen.AccessListening() {
		if consumed, ok := s.consumed(); ok {
			tx.tellRange(s.bucket.data.name, consumed, s.bytes)
		}
	}
	if i := slices.Index(tx.scans, s); i >= 0 {
		tx.scans = slices.Delete(tx.scans, i, i+1)
	}
}

// ownWrites iterates over a transaction's own writes in a range.
type ownWrites struct {
	r    Range
	iter btree.MapIter[string, []byte]
	ok   bool // the iterator is at a write in the range
}

func newOwnWrites(writes *btree.Map[string, []byte], r Range) *ownWrites {
	o := &ownWrites{r: r}
	if writes == nil || writes.Len() == 0 {
		return o
	}
	o.iter = writes.Copy().Iter() // the loop's body may write
	switch {
	case !r.Reverse:
		o.ok = o.iter.Seek(string(r.From))
	case r.To == nil:
		o.ok = o.iter.Last()
	case o.iter.Seek(string(r.To)):
		o.ok = o.iter.Prev()
	default: // all are before To
		o.ok = o.iter.Last()
	}
	o.ok = o.ok && r.Contains(o.key())
	return o
}

func (o *ownWrites) key() string { return o.iter.Key() }

func (o *ownWrites) value() []byte { return o.iter.Value() }

func (o *ownWrites) next() {
	if o.r.Reverse {
		o.ok = o.iter.Prev()
	} else {
		o.ok = o.iter.Next()
	}
	o.ok = o.ok && o.r.Contains(o.key())
}

// notAfter reports whether the current write comes before key in the range's direction, or is key.
func (o *ownWrites) notAfter(key []byte) bool {
	if o.r.Reverse {
		return o.key() >= string(key)
	}
	return o.key() <= string(key)
}
