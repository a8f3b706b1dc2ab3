package session_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
)

// Both forms of a meta record, byte by byte, for a session that was created 1.234 s after start.
var metaForms = map[string]string{
	"long":  "\x01\xa4\xd3\xe2\x85\xe3\x68\xa4\x13",
	"short": "\x81\x33\xb9\xf5\x6c\xd2",
}

// A session with a meta record of either form can be used in the same way, and keeps that record
// for its whole life.
func TestMetaForms(t *testing.T) {
	t.Parallel()
	for form, meta := range metaForms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			created := time.UnixMilli(start*1000 + 1234)
			f.putStored(t, "id", meta)
			wantMeta := func(id string) {
				t.Helper()
				do(t, func(ctx context.Context) {
					tx, err := f.db.Tx(ctx)
					must(t, err)
					if got, err := tx.Bucket("session").Get(metaKey(id)); string(got) != meta ||
						err != nil {
						t.Errorf("meta record of %q: got %x, %v, want %x", id, got, err, meta)
					}
				})
			}

			// Read the session,
			f.clock.pass(5 * time.Second)
			do(t, func(ctx context.Context) {
				s := f.get(ctx, t, "id")
				n, _, err := session.Get[int](s, "n")
				if n != 1 || err != nil {
					t.Errorf("value: got %d, %v", n, err)
				}
				modified, err := s.LastModified()
				if s.IsNew() || !s.Created().Equal(created) ||
					!s.LastUsed().Equal(time.Unix(start, 0)) ||
					!modified.Equal(created.Add(500*time.Millisecond)) || err != nil {
					t.Errorf("got %t, created %v, used %v, modified %v, %v", s.IsNew(), s.Created(),
						s.LastUsed(), modified, err)
				}
			})
			// change it,
			f.set(t, "id", map[string]any{"n": 2})
			wantMeta("id")
			// mark it as used in another transaction,
			f.clock.pass(20 * time.Second)
			do(t, func(ctx context.Context) {
				s := f.get(ctx, t, "id")
				modified, err := s.LastModified()
				if !modified.Equal(time.Unix(start+5, 0)) || err != nil ||
					!s.LastUsed().Equal(time.Unix(start+20, 0)) {
					t.Errorf("after a change: modified %v, %v, used %v", modified, err,
						s.LastUsed())
				}
			})
			wantMeta("id")
			must(t, f.Flush(t.Context()))
			do(t, func(ctx context.Context) {
				used, err := f.Used(ctx, "id")
				if err != nil || !cmp.Equal(used, []time.Time{time.Unix(start+20, 0)}) {
					t.Errorf("index: got %v, %v", used, err)
				}
			})
			// renew it,
			do(t, func(ctx context.Context) { must(t, f.renew(ctx, "id", "other")) })
			wantMeta("other")
			// and sweep it.
			f.clock.pass(time.Hour)
			if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
				t.Fatalf("Sweep: got %d, %v", n, err)
			}
			if got := f.records(t); len(got) != 0 {
				t.Errorf("left over: %v", got)
			}
			info := f.events.list[0]
			all, err := info.All()
			want := map[string]any{"n": int64(2), "early": "a", "later": "b"}
			if !info.Created.Equal(created) || !info.LastUsed.Equal(time.Unix(start+20, 0)) ||
				!cmp.Equal(all, want) || err != nil {
				t.Errorf("event: created %v, used %v, values %v, %v", info.Created,
					info.LastUsed, all, err)
			}
		})
	}
}

// A new session, after one that was invalidated or has expired, has a meta record of the current
// form, whatever form the old one had.
func TestMetaFormAfterReplacement(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.putStored(t, "invalidated", metaForms["long"])
	f.putStored(t, "expired", metaForms["long"])
	f.clock.pass(1234 * time.Millisecond)
	next := func(id string, invalidate bool) {
		do(t, func(ctx context.Context) {
			if invalidate {
				must(t, f.get(ctx, t, id).Invalidate())
			}
			must(t, f.get(ctx, t, id).Set("n", 1))
		})
	}
	next("invalidated", true)
	f.clock.pass(time.Hour)
	next("expired", false)
	do(t, func(ctx context.Context) {
		tx, err := f.db.Tx(ctx)
		must(t, err)
		for _, id := range []string{"invalidated", "expired"} {
			if got, err := tx.Bucket("session").Get(metaKey(id)); len(got) !=
				len(metaForms["short"]) || err != nil {
				t.Errorf("%s: got %x, %v, want a short record", id, got, err)
			}
		}
	})
}

// AppendMeta chooses the form by the times, and both forms keep them.
func TestAppendMeta(t *testing.T) {
	t.Parallel()
	const first, end = 1_577_836_800_000, 1_577_836_800_000 + 1<<40 // 2020, and in 2054
	const second = 1000
	for _, tt := range []struct {
		name          string
		created, used int64
		short         bool
	}{
		{"in a slice of seconds", start*second + 1234, start * second, true},
		{"at its beginning", start * second, start * second, true},
		{"at the end of the longest", (start+127)*second + 999, start * second, true},
		{"in a longer slice", (start + 128) * second, start * second, false},
		{"in a slice that begins between two seconds", start*second + 1234, start*second + 500, false},
		{"before its slice", start*second - 1, start * second, false},
		{"long before its slice", 0, math.MaxInt64 - math.MaxInt64%second, false},
		{"the first short one", first, first, true},
		{"in a slice that began before that", first + 5, first - 20*second, true},
		{"the last long one", first - 1, first - second, false},
		{"the last short one", end - 1, (end - 1) / second * second, true},
		{"the first long one after the short ones", end, end / second * second, false},
		{"the last of all", math.MaxInt64, math.MaxInt64, false},
		{"the first of all", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := session.AppendMeta(tt.created, tt.used)
			if short := len(b) == 6 && b[0] >= 128; short != tt.short || !short && b[0] != 1 {
				t.Errorf("got %x, want a short one: %t", b, tt.short)
			}
			created, used, problem := session.ReadMeta(b)
			if created != tt.created || used != tt.used || problem != "" {
				t.Errorf("%x: got %d, %d, %s, want %d, %d", b, created, used, problem,
					tt.created, tt.used)
			}
		})
	}
	for form, meta := range metaForms {
		created, used, problem := session.ReadMeta([]byte(meta))
		if created != start*second+1234 || used != start*second || problem != "" {
			t.Errorf("%s: got %d, %d, %s", form, created, used, problem)
		}
	}
	if got := string(session.AppendMeta(start*second+1234, start*second)); got !=
		metaForms["short"] {
		t.Errorf("got %x, want %x", got, metaForms["short"])
	}
}

func metaKey(id string) []byte { return append(session.ItemKey(id, "")[:16], 'm') }

// putStored stores the records of a session that was created 1.234 s after start, in the slice that
// begins there. It has three items: one written at the creation, one half a second later, and one
// 0.1 s before, by a clock that had been set back.
func (f *fixture) putStored(tb testing.TB, id, meta string) {
	tb.Helper()
	do(tb, func(ctx context.Context) {
		tx, err := f.db.Tx(ctx)
		must(tb, err)
		data := tx.Bucket("session")
		must(tb, data.Put(metaKey(id), []byte(meta)))
		for key, record := range map[string]string{
			"n": "\x00i\x02", "later": "\xe8\x07sb",
			"early": "\xc7\x01sa",
		} {
			must(tb, data.Put(session.ItemKey(id, key), []byte(record)))
		}
		must(tb, tx.Bucket("session.used").Put(session.IndexKey(id, start*1000), nil))
	})
}
