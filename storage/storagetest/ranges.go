package storagetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// bounds returns a range; an empty bound is open.
func bounds(from, to string, reverse bool) storage.Range {
	r := storage.Range{Reverse: reverse}
	if from != "" {
		r.From = []byte(from)
	}
	if to != "" {
		r.To = []byte(to)
	}
	return r
}

func testRange(t *suite) {
	db := t.open()
	if got := all(t, db); got != "" {
		t.Errorf("empty database: got %q", got)
	}
	set(t, db, "b", "1", "d", "2", "da", "3", "f", "4")
	c := begin(t, db)
	defer c.abort()
	for _, tt := range []struct{ from, to, want, reverse string }{
		{"", "", "b=1 d=2 da=3 f=4", "f=4 da=3 d=2 b=1"},
		{"b", "", "b=1 d=2 da=3 f=4", "f=4 da=3 d=2 b=1"},
		{"c", "", "d=2 da=3 f=4", "f=4 da=3 d=2"},
		{"d\x00", "", "da=3 f=4", "f=4 da=3"},
		{"g", "", "", ""},
		{"", "b", "", ""},
		{"", "b\x00", "b=1", "b=1"},
		{"", "d", "b=1", "b=1"},
		{"", "e", "b=1 d=2 da=3", "da=3 d=2 b=1"},
		{"", "z", "b=1 d=2 da=3 f=4", "f=4 da=3 d=2 b=1"},
		{"d", "f", "d=2 da=3", "da=3 d=2"},
		{"c", "e", "d=2 da=3", "da=3 d=2"},
		{"d", "d", "", ""},
		{"e", "c", "", ""},
	} {
		if got := c.list(bounds(tt.from, tt.to, false), 0); got != tt.want {
			t.Errorf("%q to %q: got %q, want %q", tt.from, tt.to, got, tt.want)
		}
		if got := c.list(bounds(tt.from, tt.to, true), 0); got != tt.reverse {
			t.Errorf("%q to %q in reverse: got %q, want %q", tt.from, tt.to, got, tt.reverse)
		}
	}
	if got := c.list(storage.Range{To: []byte{}}, 0); got != "" {
		t.Errorf("a range that ends at the empty key: got %q", got)
	}
	if got := c.list(storage.Range{}, 2); got != "b=1 d=2" {
		t.Errorf("the first two: got %q", got)
	}
	if got := c.list(storage.Range{Reverse: true}, 2); got != "f=4 da=3" {
		t.Errorf("the last two: got %q", got)
	}
	if got := c.list(storage.Prefix([]byte("d")), 0); got != "d=2 da=3" {
		t.Errorf("prefix: got %q", got)
	}
}

func testRangeOwnWrites(t *suite) {
	db := t.open()
	set(t, db, "b", "1", "d", "2", "f", "3")
	c := begin(t, db)
	defer c.abort()
	for _, step := range []struct {
		do            func()
		want, reverse string
	}{
		{func() { c.put("a", "x") }, "a=x b=1 d=2 f=3", "f=3 d=2 b=1 a=x"},
		{func() { c.put("d", "y") }, "a=x b=1 d=y f=3", "f=3 d=y b=1 a=x"},
		{func() { c.delete("b") }, "a=x d=y f=3", "f=3 d=y a=x"},
		{func() { c.put("g", "z") }, "a=x d=y f=3 g=z", "g=z f=3 d=y a=x"},
		{func() { c.delete("f") }, "a=x d=y g=z", "g=z d=y a=x"},
		{func() { c.delete("a") }, "d=y g=z", "g=z d=y"},
		{func() { c.put("b", "w") }, "b=w d=y g=z", "g=z d=y b=w"},
		{func() { c.delete("b"); c.delete("d"); c.delete("g") }, "", ""},
	} {
		step.do()
		if got := c.list(storage.Range{}, 0); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
		if got := c.list(storage.Range{Reverse: true}, 0); got != step.reverse {
			t.Errorf("in reverse: got %q, want %q", got, step.reverse)
		}
	}
	c.put("c", "1")
	c.put("e", "2")
	if got := c.list(bounds("c", "e", false), 0); got != "c=1" {
		t.Errorf("bounded: got %q", got)
	}
	if got := c.list(bounds("c\x00", "z", true), 0); got != "e=2" {
		t.Errorf("bounded, in reverse: got %q", got)
	}
}

// A loop sees the keys that existed when it began.
func testRangeWhileWriting(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "2", "c", "3")
	for _, reverse := range []bool{false, true} {
		c := begin(t, db)
		c.put("d", "4")
		var seen []byte
		for item, err := range c.bucket.Range(storage.Range{Reverse: reverse}) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, item.Key...)
			c.delete("b")
			c.delete(string(item.Key))
			c.put(string(item.Key)+"+", "new")
			c.put("d", "changed")
			c.want(string(item.Key)+"+", "new")
			inner := 0
			for item, err := range c.bucket.Range(bounds("", "c", reverse)) {
				if err != nil {
					t.Fatal(err)
				}
				if string(item.Key) == "b" {
					t.Error("an inner loop saw what was deleted before it began")
				}
				inner++
			}
			if inner == 0 {
				t.Error("an inner loop saw nothing")
			}
		}
		want := "abcd"
		if reverse {
			want = "dcba"
		}
		if string(seen) != want {
			t.Errorf("reverse %t: the loop saw %q, want %q", reverse, seen, want)
		}
		c.abort()
	}
}

// The end of a transaction inside a loop ends the loop.
func testRangeEnded(t *suite) {
	db := t.open()
	set(t, db, "a", "1", "b", "2")
	c := begin(t, db)
	var last error
	n := 0
	for _, err := range c.bucket.Range(storage.Range{}) {
		if n++; n == 1 {
			c.abort()
		}
		last = err
	}
	if n != 2 || !errors.Is(last, transaction.ErrEnded) {
		t.Errorf("got %d rounds, the last with %v, want 2 with ErrEnded", n, last)
	}
}

// A bucket that is larger than a page or node of the engine is changed in places and read in parts.
func testLargeBucket(t *suite) {
	db := t.open()
	const n = 3000
	key := func(i int) string { return fmt.Sprintf("%04d", i) }
	c := begin(t, db)
	for i := range n {
		c.put(key(i*7919%n), fmt.Sprint(i*7919%n)) // in no order
	}
	c.commit()
	c = begin(t, db)
	for i := 0; i < n; i += 3 {
		c.delete(key(i))
	}
	c.commit()
	c = begin(t, db)
	defer c.abort()
	for _, r := range []struct{ from, to int }{{0, n}, {1, 2}, {100, 2000}, {2999, 3000}} {
		for _, reverse := range []bool{false, true} {
			var want []int
			for i := r.from; i < r.to; i++ {
				if i%3 != 0 {
					want = append(want, i)
				}
			}
			got := 0
			for item, err := range c.bucket.Range(bounds(key(r.from), key(r.to), reverse)) {
				if err != nil {
					t.Fatal(err)
				}
				i := got
				if reverse {
					i = len(want) - 1 - got
				}
				if i < 0 || i >= len(want) || string(item.Value) != fmt.Sprint(want[i]) {
					t.Fatalf("%d to %d, reverse %t: item %d is %q", r.from, r.to, reverse,
						got, item.Value)
				}
				got++
			}
			if got != len(want) {
				t.Errorf("%d to %d, reverse %t: got %d items, want %d", r.from, r.to, reverse,
					got, len(want))
			}
		}
	}
}

// Items returns the same items as a loop, with own writes and without.
func testItems(t *suite) {
	db := t.open()
	set(t, db, "b", "1", "d", "2", "da", "", "f", "4")
	for _, own := range []bool{false, true} {
		c := begin(t, db)
		defer c.abort()
		if own {
			c.put("c", "own")
			c.put("d", "new")
			c.delete("f")
		}
		for _, r := range []storage.Range{
			{},
			{To: []byte{}},
			storage.Prefix([]byte("d")),
			bounds("", "", true),
			bounds("c", "", false),
			bounds("", "da", true),
			bounds("d", "f", false),
			bounds("da", "da\x00", false),
			bounds("g", "", false),
			bounds("e", "c", false),
		} {
			want := c.list(r, 0)
			if got := c.items(r); got != want {
				t.Errorf("%q to %q, reverse %t, own writes %t: got %q, want %q", r.From, r.To,
					r.Reverse, own, got, want)
			}
		}
	}
}

// items is list, by Items. The slices belong to the caller, each by itself.
func (c *client) items(r storage.Range) string {
	c.t.Helper()
	items, err := c.bucket.Items(r)
	if err != nil {
		c.t.Fatalf("items: %v", err)
	}
	var texts []string
	for _, item := range items {
		texts = append(texts, string(item.Key)+"="+string(item.Value))
		if item.Value == nil {
			c.t.Errorf("items: the value of %q is nil", item.Key)
		}
		_ = append(item.Key, "overwritten"...)
		_ = append(item.Value, "overwritten"...)
		clear(item.Key)
	}
	return strings.Join(texts, " ")
}

func testItemsCountAsRead(t *suite) {
	db := t.open()
	for _, tt := range []struct {
		key      string
		snapshot bool
		conflict bool
	}{
		{"key2", false, true},
		{"key2", true, false},
		{"other", false, false},
	} {
		c := begin(t, db)
		bucket := c.bucket
		if tt.snapshot {
			bucket = bucket.Snapshot()
		}
		if _, err := bucket.Items(storage.Prefix([]byte("key"))); err != nil {
			t.Fatal(err)
		}
		set(t, db, tt.key, "1")
		c.put("mine", "1")
		err := c.txn.Commit(c.ctx)
		if _, conflict := errors.AsType[*storage.ConflictError](err); conflict != tt.conflict ||
			err != nil && !conflict {
			t.Errorf("key %q, snapshot %t: got %v, want a conflict: %t", tt.key, tt.snapshot, err,
				tt.conflict)
		}
	}
}
