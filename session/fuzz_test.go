package session_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/pasteline/pasteline/session"
)

// Every JSON value is read as it was stored.
func FuzzValueRoundTrip(f *testing.F) {
	for _, seed := range []string{
		`"text"`, `5`, `-1.5`, `true`, `null`, `["a"]`,
		`{"n": 4, "x": "a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		if json.Unmarshal(text, &value) != nil {
			return
		}
		for _, v := range []any{
			value, string(text), text, len(text),
			uint64(math.MaxUint64) - uint64(len(text)),
		} {
			record, err := session.AppendValue(v)
			if err != nil {
				t.Fatalf("%#v: %v", v, err)
			}
			got := reflect.New(reflect.TypeOf(&v).Elem())
			if v != nil {
				got = reflect.New(reflect.TypeOf(v))
			}
			if err := session.DecodeValue(record, got.Interface()); err != nil {
				t.Fatalf("%#v as %q: %v", v, record, err)
			}
			if again := got.Elem().Interface(); !reflect.DeepEqual(again, v) {
				t.Errorf("%#v as %q: got %#v", v, record, again)
			}
		}
	})
}

// Decoding any bytes gives a value or an error, and an encoded value decodes to the same value
// again.
func FuzzSessionDecode(f *testing.F) {
	for _, seed := range []string{
		"", "s", "stext", "bbytes", "i\x02",
		"u\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "d12345678", "t", "f", `j{"a":[1]}`,
		"jnul", "X",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var s string
		var b []byte
		var i8 int8
		var u64 uint64
		var fl float32
		var m map[string]int
		for _, to := range []any{&s, &b, &i8, &u64, &fl, &m} {
			_ = session.DecodeValue(record, to) // must not panic
		}
		var value any
		if session.DecodeValue(record, &value) != nil {
			return
		}
		again, err := session.AppendValue(value)
		if err != nil {
			t.Fatalf("%q reads as %#v, which can't be encoded: %v", record, value, err)
		}
		var second any
		if err := session.DecodeValue(again, &second); err != nil {
			t.Fatalf("%q reads as %#v, encoded as %q, which can't be read: %v", record,
				value, again, err)
		}
		if x, ok := value.(float64); ok && math.IsNaN(x) {
			return
		}
		if !reflect.DeepEqual(value, second) {
			t.Errorf("%q reads as %#v, and then as %#v", record, value, second)
		}
	})
}

// Keys of different sessions, or of different records of one session, are never equal, and none
// begins with the ref of another session.
func FuzzKeys(f *testing.F) {
	f.Add("id", "key", "id", "other", int64(0), int64(1))
	f.Add("a", "b", "ab", "", int64(math.MaxInt64), int64(0))
	f.Add("id\x00i", "", "id", "\x00i", int64(1), int64(256))
	f.Fuzz(func(t *testing.T, id1, key1, id2, key2 string, slice1, slice2 int64) {
		if slice1 < 0 || slice2 < 0 {
			return
		}
		a, b := session.ItemKey(id1, key1), session.ItemKey(id2, key2)
		if (id1 == id2 && key1 == key2) != bytes.Equal(a, b) {
			t.Errorf("item keys %x and %x", a, b)
		}
		if id1 != id2 && bytes.HasPrefix(a, b[:16]) {
			t.Errorf("%q and %q share a ref", id1, id2)
		}
		u1, u2 := session.UsedKey(id1, slice1), session.UsedKey(id1, slice2)
		if bytes.Equal(u1, a) || (bytes.Compare(u1, u2) < 0) != (slice1 < slice2) {
			t.Errorf("used keys %x and %x of %d and %d", u1, u2, slice1, slice2)
		}
		i1, i2 := session.IndexKey(id1, slice1), session.IndexKey(id2, slice2)
		if slice1 < slice2 && bytes.Compare(i1, i2) >= 0 {
			t.Errorf("index keys %x and %x of %d and %d", i1, i2, slice1, slice2)
		}
		slice, ref, ok := session.ReadIndexKey(i1)
		if !ok || slice != slice1 || ref != session.RefOf(id1) {
			t.Errorf("index key %x: got %d, %s, %t", i1, slice, ref, ok)
		}
	})
}

// Loading any record does not panic, and a meta record that can be read is encoded to the same
// bytes again.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("m"), session.AppendMeta(1000, 990))
	f.Add([]byte("m"), session.AppendMeta(0, math.MaxInt64))
	f.Add([]byte("m"), session.AppendMeta(start*1000+1234, start*1000))
	f.Add([]byte("m"), []byte("\xff\x00\x00\x00\x00\x00"))
	f.Add([]byte("m"), []byte("\x02\x80\x02\x800123456789abcdef"))
	f.Add([]byte("u12345678"), []byte{})
	f.Add([]byte("l"), []byte{2})
	f.Add([]byte("ikey"), []byte("\x00i\x02"))
	f.Fuzz(func(t *testing.T, rest, value []byte) {
		ref := session.ItemKey("id", "")[:16]
		_, _ = session.AddRecord(append(ref, rest...), value)
		_, _, _ = session.ReadIndexKey(rest)
		created, used, problem := session.ReadMeta(value)
		if problem != "" {
			return
		}
		if created < 0 || used < 0 {
			t.Errorf("%x: got times before 1970: %d, %d", value, created, used)
		}
		c, u, problem := session.ReadMeta(session.AppendMeta(created, used))
		if c != created || u != used || problem != "" {
			t.Errorf("%x: got %d, %d, then %d, %d, %s", value, created, used, c, u, problem)
		}
	})
}

// A meta record decodes to the times it was made of, and begins with the mark of its format.
func FuzzMeta(f *testing.F) {
	f.Add(int64(0), int64(0))
	f.Add(int64(start*1000+1234), int64(start*1000))
	f.Add(int64(start*1000), int64(start*1000+500))
	f.Add(int64(math.MaxInt64), int64(0))
	f.Fuzz(func(t *testing.T, created, used int64) {
		if created < 0 || used < 0 {
			return
		}
		for _, used := range []int64{used, used - used%1000, max(0, created-created%20_000)} {
			b := session.AppendMeta(created, used)
			c, u, problem := session.ReadMeta(b)
			if c != created || u != used || problem != "" {
				t.Errorf("%d, %d as %x: got %d, %d, %s", created, used, b, c, u, problem)
			}
			if b[0] != 1 && (b[0] < 128 || len(b) != 6) {
				t.Errorf("%d, %d: got %x, which has neither format", created, used, b)
			}
		}
	})
}
