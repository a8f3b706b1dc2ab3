package session_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
)

type point struct{ X, Y int }

// Defined types whose underlying types have a binary format.
type (
	role  string
	level uint8
	ratio float32
	flag  bool
)

func TestValueRoundTrip(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 5, 1, 12, 0, 0, 123, time.UTC)
	tests := []struct {
		name  string
		value any
		any   any // the result of Get[any]
	}{
		{"string", "héllo\x00", "héllo\x00"},
		{"empty string", "", ""},
		{"bytes", []byte{0, 1, 255}, []byte{0, 1, 255}},
		{"empty bytes", []byte{}, []byte{}},
		{"true", true, true},
		{"false", false, false},
		{"int", -42, int64(-42)},
		{"int8", int8(math.MinInt8), int64(math.MinInt8)},
		{"int16", int16(math.MaxInt16), int64(math.MaxInt16)},
		{"int32", int32(math.MinInt32), int64(math.MinInt32)},
		{"int64", int64(math.MinInt64), int64(math.MinInt64)},
		{"uint", uint(7), int64(7)},
		{"uint8", uint8(255), int64(255)},
		{"uint16", uint16(65535), int64(65535)},
		{"uint32", uint32(math.MaxUint32), int64(math.MaxUint32)},
		{"uint64", uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{"float32", float32(1.5), 1.5},
		{"float64", math.Inf(-1), math.Inf(-1)},
		{"struct", point{1, 2}, map[string]any{"X": 1.0, "Y": 2.0}},
		{"slice", []string{"a", "b"}, []any{"a", "b"}},
		{"time", when, "2026-05-01T12:00:00.000000123Z"},
		{"duration", time.Minute, 6e10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "id", map[string]any{"v": tt.value})
			do(t, func(ctx context.Context) {
				s := f.get(ctx, t, "id")
				if got, ok, err := session.Get[any](s, "v"); !ok || err != nil ||
					!cmp.Equal(got, tt.any) {
					t.Errorf("Value[any]: got %#v, %t, %v, want %#v", got, ok, err, tt.any)
				}
				if got, err := typed(s, tt.value); err != nil || !cmp.Equal(got, tt.value) {
					t.Errorf("Value[%T]: got %#v, %v", tt.value, got, err)
				}
			})
		})
	}
}

// typed reads "v" with the type of value.
func typed(s *session.Session, value any) (any, error) {
	switch value.(type) {
	case string:
		return valueOf[string](s)
	case []byte:
		return valueOf[[]byte](s)
	case bool:
		return valueOf[bool](s)
	case int:
		return valueOf[int](s)
	case int8:
		return valueOf[int8](s)
	case int16:
		return valueOf[int16](s)
	case int32:
		return valueOf[int32](s)
	case int64:
		return valueOf[int64](s)
	case uint:
		return valueOf[uint](s)
	case uint8:
		return valueOf[uint8](s)
	case uint16:
		return valueOf[uint16](s)
	case uint32:
		return valueOf[uint32](s)
	case uint64:
		return valueOf[uint64](s)
	case float32:
		return valueOf[float32](s)
	case float64:
		return valueOf[float64](s)
	case point:
		return valueOf[point](s)
	case []string:
		return valueOf[[]string](s)
	case time.Time:
		return valueOf[time.Time](s)
	case time.Duration:
		return valueOf[time.Duration](s)
	}
	return nil, errors.New("no such type in the table")
}

func valueOf[T any](s session.Source) (T, error) {
	v, _, err := session.Get[T](s, "v")
	return v, err
}

func errorOf[T any](s session.Source) error {
	_, err := valueOf[T](s)
	return err
}

func TestValueOfAnotherType(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value any
		read  func(session.Source) error
		want  string // the end of the error; empty: no error
	}{
		{
			"string as int", "x", errorOf[int],
			`the value of "v" is a string, which does not fit int`,
		},
		{
			"string as struct", "x", errorOf[point],
			"is a string, which does not fit session_test.point",
		},
		{"bytes as string", []byte("x"), errorOf[string], "is bytes, which does not fit string"},
		{"int as string", 1, errorOf[string], "is an integer, which does not fit string"},
		{"int as bytes", 1, errorOf[[]byte], "is an integer, which does not fit []uint8"},
		{"int as bool", 1, errorOf[bool], "is an integer, which does not fit bool"},
		{"int as float", 1, errorOf[float64], "is an integer, which does not fit float64"},
		{"large int as small", 128, errorOf[int8], "is an integer, which does not fit int8"},
		{
			"large int as small unsigned", 256, errorOf[uint8],
			"is an integer, which does not fit uint8",
		},
		{
			"negative int as unsigned", -1, errorOf[uint64],
			"is an integer, which does not fit uint64",
		},
		{
			"largest unsigned as signed", uint64(math.MaxUint64), errorOf[int64],
			"is an integer, which does not fit int64",
		},
		{"int as another size", 128, errorOf[uint8], ""},
		{"float as int", 1.0, errorOf[int], "is a float, which does not fit int"},
		{"float as unsigned", 1.0, errorOf[uint], "is a float, which does not fit uint"},
		{"float as float32", 1.0, errorOf[float32], ""},
		{"bool as float32", true, errorOf[float32], "is a bool, which does not fit float32"},
		{"JSON as string", []int{1}, errorOf[string], "is JSON, which does not fit string"},
		{"JSON as int", []int{1}, errorOf[int], "is JSON, which does not fit int"},
		{"JSON number as int", time.Second, errorOf[int], ""},
		{"JSON number as unsigned", time.Second, errorOf[uint], ""},
		{"nil as pointer", nil, errorOf[*point], ""},
		{"string as a defined type", "x", errorOf[role], ""},
		{"defined string as string", role("x"), errorOf[string], ""},
		{"int as a defined type", 255, errorOf[level], ""},
		{
			"large int as a defined type", 256, errorOf[level],
			"is an integer, which does not fit session_test.level",
		},
		{
			"int as a defined string", 1, errorOf[role],
			"is an integer, which does not fit session_test.role",
		},
		{"int as duration", 5, errorOf[time.Duration], ""},
		{"float as a defined type", 1.5, errorOf[ratio], ""},
		{"bool as a defined type", true, errorOf[flag], ""},
		{
			"string as a type with UnmarshalJSON", "x", errorOf[time.Time],
			"is a string, which does not fit time.Time",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, tt.name, map[string]any{"v": tt.value})
			do(t, func(ctx context.Context) {
				err := tt.read(f.get(ctx, t, tt.name))
				if tt.want == "" {
					if err != nil {
						t.Errorf("got %v, want none", err)
					}
					return
				}
				if _, ok := errors.AsType[*session.TypeError](err); !ok ||
					!strings.HasSuffix(err.Error(), tt.want) {
					t.Errorf("got %v, want it to end in %q", err, tt.want)
				}
			})
		})
	}
}

// An app can read stored values after it introduced a defined type for them, or removed it.
func TestValueOfDefinedType(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{
		"role": "admin", "level": 7, "ratio": 1.5, "flag": true,
		"wait": int64(time.Minute),
	})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		r, _, err1 := session.Get[role](s, "role")
		l, _, err2 := session.Get[level](s, "level")
		x, _, err3 := session.Get[ratio](s, "ratio")
		b, _, err4 := session.Get[flag](s, "flag")
		d, _, err5 := session.Get[time.Duration](s, "wait")
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil || r != "admin" || l != 7 ||
			x != 1.5 || !b || d != time.Minute {
			t.Errorf("got %v, %v, %v, %v, %v, %v", r, l, x, b, d, err)
		}
	})
}

func TestSetUnencodable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		if err := s.Set("v", make(chan int)); err == nil || !strings.Contains(err.Error(),
			`can't encode the value for "v"`) {
			t.Errorf("Set of a channel: got %v", err)
		}
		if err := s.Update(map[string]any{"a": 1, "v": func() {}}); err == nil {
			t.Error("Update with a function: got no error")
		}
	})
	f.wantStored(t, "id", map[string]any{"a": int64(1)})
}

// Set refuses a key that is too long for the storage before it writes any record.
func TestLongKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{MaxSize: 1 << 30})
	long := strings.Repeat("k", session.MaxKey)
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		e, ok := errors.AsType[*session.KeyError](s.Set(long+"k", 1))
		if !ok || e.Session != s.Ref() ||
			!strings.Contains(e.Error(), "2032 bytes: want at most 2031") {
			t.Errorf("Set: got %v", e)
		}
		if _, ok := errors.AsType[*session.KeyError](s.Flash("x", long)); !ok {
			t.Error("Flash with a long name: got no KeyError")
		}
		if ok, err := s.Has(long + "k"); ok || err != nil {
			t.Errorf("Has: got %t, %v", ok, err)
		}
		must(t, s.Delete(long+"k"))
		if _, ok := errors.AsType[*session.SizeError](s.Set("k",
			strings.Repeat("x", 16<<20))); !ok {
			t.Error("Set of a value that is too long for storage: got no SizeError")
		}
		if !s.IsNew() {
			t.Error("the session is not new any more")
		}
	})
	if got := f.records(t); len(got) != 0 || f.events.take() != nil {
		t.Errorf("stored: %v", got)
	}
	f.set(t, "id", map[string]any{long: 1})
	f.wantStored(t, "id", map[string]any{long: int64(1)})
}

func TestDamagedItems(t *testing.T) {
	t.Parallel()
	for name, record := range map[string][]byte{
		"empty":        {},
		"no value":     {0},
		"endless time": {0x80},
		"unknown tag":  {0, 'X'},
		"half a float": {0, 'd', 1, 2},
		"no integer":   {0, 'i'},
		"long integer": {0, 'i', 2, 2},
		"long bool":    {0, 't', 't'},
		"small uint":   {0, 'u', 1},
		"half JSON":    {0, 'j', '['},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "id", map[string]any{"good": 1})
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").PutItem("bad", record)) })
			do(t, func(ctx context.Context) {
				s := f.get(ctx, t, "id")
				if got, _, err := session.Get[int](s, "good"); got != 1 || err != nil {
					t.Errorf("the other value: got %d, %v", got, err)
				}
				_, _, err := session.Get[float64](s, "bad")
				all, allErr := s.All()
				if !cmp.Equal(all, map[string]any{"good": int64(1)}) {
					t.Errorf("All: got %v, want the values that can be read", all)
				}
				if modified, err := s.LastModified(); err != nil || modified.IsZero() {
					t.Errorf("LastModified: got %v, %v", modified, err)
				}
				for _, err := range []error{err, allErr} {
					if e, ok := errors.AsType[*session.RecordError](err); !ok ||
						e.Session != s.Ref() || !strings.Contains(err.Error(),
						`can't read the value of "bad": it is damaged`) {
						t.Errorf("got %v, want a RecordError", err)
					}
				}
				must(t, s.Delete("bad")) // a damaged item can be deleted
			})
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").PutItem("bad", record)) })
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").Set("bad", 2)) })
			f.wantStored(t, "id", map[string]any{"good": int64(1), "bad": int64(2)})
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").Delete("bad")) })
			if got := f.stored(t, "id"); !cmp.Equal(got, map[string]any{"good": int64(1)}) {
				t.Errorf("stored: got %v", got)
			}
		})
	}
}

func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rest string
		value      []byte
		want       string
	}{
		{"meta empty", "m", nil, "can't read the meta record: it is empty"},
		{
			"meta of the future", "m",
			[]byte{7},
			"can't read the meta record: its format is 7, and this release knows only 1",
		},
		{"meta without creation", "m", []byte{1}, "its creation time is damaged"},
		{"meta without use", "m", []byte{1, 2}, "its time of first use is damaged"},
		{"meta too long", "m", []byte{1, 2, 2, 2}, "its time of first use is damaged"},
		{
			"short meta cut off", "m",
			[]byte{0x81, 0, 0, 0, 0},
			"can't read the meta record: it has 5 bytes, not 6",
		},
		{
			"short meta too long", "m",
			[]byte{0x81, 0, 0, 0, 0, 0, 0},
			"can't read the meta record: it has 7 bytes, not 6",
		},
		{"meta with a tail", "mm", []byte{1, 2, 2}, "its key is too long"},
		{"use", "u1", nil, "can't read a used record: its time slice is damaged"},
		{
			"use before time", "u\xff\xff\xff\xff\xff\xff\xff\xff", nil,
			"can't read a used record: its time slice is damaged",
		},
		{
			"tombstone without its end", "m",
			[]byte{2, 0x80},
			"can't read the meta record: its end time is damaged",
		},
		{
			"tombstone without creation", "m",
			[]byte{2, 2, 0x80},
			"can't read the meta record: its creation time is damaged",
		},
		{
			"tombstone without seed", "m",
			[]byte{2, 2, 2, 1},
			"can't read the meta record: its seed is damaged",
		},
		{
			"deletion with a tail", "ll",
			[]byte{2},
			"can't read the time of the last deletion: its key is too long",
		},
		{"kind", "?", nil, `can't read a record: its kind is '?'`},
		{"no kind", "", nil, "can't read a record: its key is too short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			f := newFixture(t, session.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			f.set(t, "id", map[string]any{"n": 1})
			do(t, func(ctx context.Context) { must(t, f.PutRecord(ctx, "id", tt.rest, tt.value)) })
			before := f.records(t)
			for range 3 { // a transaction that only reads gets a new session, and changes nothing
				f.wantStored(t, "id", nil)
			}
			if diff := cmp.Diff(before, f.records(t)); diff != "" {
				t.Errorf("a request that reads has changed records: %s", diff)
			}
			if n := strings.Count(log.String(), "a session can't be read"); n != 1 ||
				!strings.Contains(log.String(), tt.want) {
				t.Errorf("logged %d times, want once, with %q: %s", n, tt.want, log.String())
			}
			// The browser has a new session, and the old records are kept until they would have
			// expired.
			f.clock.pass(time.Minute)
			f.set(t, "id", map[string]any{"m": 2})
			f.wantStored(t, "id", map[string]any{"m": int64(2)})
			if n := len(f.records(t)); n < 5 {
				t.Errorf("%d records are left, want those of the damaged session, too", n)
			}
			f.clock.pass(19 * time.Minute)
			f.wantStored(t, "id", map[string]any{"m": int64(2)})
			f.clock.pass(time.Minute)
			_, err := f.Sweep(t.Context())
			must(t, err)
			f.wantStored(t, "id", map[string]any{"m": int64(2)})
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").Invalidate()) })
			f.clock.pass(time.Hour)
			if _, err := f.Sweep(t.Context()); err != nil || len(f.records(t)) != 0 {
				t.Errorf("Sweep: %v; left over: %v", err, f.records(t))
			}
		})
	}
}

// A damaged time of the last deletion affects only LastModified.
func TestDamagedTimeOfDeletion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"n": 1})
	do(t, func(ctx context.Context) { must(t, f.PutRecord(ctx, "id", "l", []byte{0x80})) })
	f.wantStored(t, "id", map[string]any{"n": int64(1)})
	do(t, func(ctx context.Context) {
		if modified, err := f.get(ctx, t, "id").LastModified(); err != nil ||
			!modified.Equal(time.Unix(start, 0)) {
			t.Errorf("LastModified: got %v, %v", modified, err)
		}
	})
}

// Renew of a session that can't be read begins a new one, without its records.
func TestRenewOfADamagedSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"user": "ann"})
	do(t, func(ctx context.Context) { must(t, f.PutRecord(ctx, "id", "m", []byte{99})) })
	f.wantStored(t, f.login(t, &browser{id: "id"}), nil)
	f.wantStored(t, f.login(t, &browser{id: "id"}), nil)
	f.clock.pass(time.Hour)
	if _, err := f.Sweep(t.Context()); err != nil || len(f.records(t)) != 0 {
		t.Errorf("Sweep: %v; left over: %v", err, f.records(t))
	}
}
