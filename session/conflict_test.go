package session_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// Two transactions use one session at the same time: both begin, both act, then A commits, then B.
func TestConflicts(t *testing.T) {
	t.Parallel()
	type act = func(f *fixture, ctx context.Context, s *session.Session) error
	set := func(key string, value any) act {
		return func(_ *fixture, _ context.Context,
			s *session.Session,
		) error {
			return s.Set(key, value)
		}
	}
	read := func(key string) act {
		return func(_ *fixture, _ context.Context, s *session.Session) error {
			_, err := s.Has(key)
			return err
		}
	}
	both := func(first, second act) act {
		return func(f *fixture, ctx context.Context, s *session.Session) error {
			if err := first(f, ctx, s); err != nil {
				return err
			}
			return second(f, ctx, s)
		}
	}
	del := func(key string) act {
		return func(_ *fixture, _ context.Context,
			s *session.Session,
		) error {
			return s.Delete(key)
		}
	}
	nothing := func(*fixture, context.Context, *session.Session) error { return nil }
	keys := func(_ *fixture, _ context.Context, s *session.Session) error {
		_, err := s.Keys()
		return err
	}
	modified := func(_ *fixture, _ context.Context, s *session.Session) error {
		_, err := s.LastModified()
		return err
	}
	clearAll := func(_ *fixture, _ context.Context, s *session.Session) error { return s.Clear() }
	invalidate := func(_ *fixture, _ context.Context,
		s *session.Session,
	) error {
		return s.Invalidate()
	}
	carry := func(f *fixture, ctx context.Context, s *session.Session) error {
		return f.renew(ctx,
			s.ID(), "other")
	}
	replace := func(f *fixture, ctx context.Context, s *session.Session) error {
		if err := s.Invalidate(); err != nil {
			return err
		}
		next, err := f.Get(session.WithID(ctx, s.ID()))
		if err != nil {
			return err
		}
		return next.Set("n", 9)
	}
	elsewhere := func(f *fixture, ctx context.Context, _ *session.Session) error {
		tx, err := f.db.Tx(ctx)
		if err != nil {
			return err
		}
		return tx.Bucket("app").Put([]byte("k"), []byte("v"))
	}

	tests := []struct {
		name     string
		a, b     act
		fresh    bool          // the session does not exist yet
		pass     time.Duration // time that passes before both begin
		conflict bool
		want     map[string]any // values of the session afterwards; nil: no session
	}{
		{
			name: "different keys merge", a: set("x", 1), b: set("y", 2),
			want: map[string]any{"n": int64(4), "x": int64(1), "y": int64(2)},
		},
		{
			name: "same key", a: set("n", 5), b: set("n", 6), conflict: true,
			want: map[string]any{"n": int64(5)},
		},
		{
			name: "same key, same value", a: set("n", 5), b: set("n", 5), conflict: true,
			want: map[string]any{"n": int64(5)},
		},
		{
			name: "same new key", a: set("x", 5), b: set("x", 5), conflict: true,
			want: map[string]any{"n": int64(4), "x": int64(5)},
		},
		{
			name: "write after read", a: set("n", 5), b: both(read("n"), set("x", 1)), conflict: true,
			want: map[string]any{"n": int64(5)},
		},
		{name: "write after read of a missing key", a: set("x", 5), b: both(read("x"),
			set("y", 1)), conflict: true, want: map[string]any{"n": int64(4), "x": int64(5)}},
		{
			name: "only reads", a: set("n", 5), b: both(keys, read("n")),
			want: map[string]any{"n": int64(5)},
		},
		{
			name: "reads, and writes another session", a: set("n", 5), b: both(read("n"), elsewhere),
			conflict: true, want: map[string]any{"n": int64(5)},
		},
		{
			name: "reads another key, and writes another session", a: set("x", 5),
			b: both(read("n"), elsewhere), want: map[string]any{"n": int64(4), "x": int64(5)},
		},
		{
			name: "delete and write", a: del("n"), b: set("n", 5), conflict: true,
			want: map[string]any{},
		},
		{name: "delete both", a: del("n"), b: del("n"), conflict: true, want: map[string]any{}},
		{
			name: "delete of a missing key", a: set("x", 1), b: both(del("x"), set("y", 1)),
			conflict: true, want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{
			name: "keys and an added key", a: set("x", 1), b: both(keys, set("y", 1)), conflict: true,
			want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{
			name: "keys and a deleted key", a: del("n"), b: both(keys, set("y", 1)), conflict: true,
			want: map[string]any{},
		},
		{
			name: "last modified and a written key", a: set("x", 1), b: both(modified, set("y", 1)),
			conflict: true, want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{
			name: "clear and an added key", a: set("x", 1), b: clearAll, conflict: true,
			want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{name: "log-out, then a slow request", a: invalidate, b: set("x", 1), conflict: true},
		{
			name: "log-out and log-in, then a slow request", a: replace, b: set("x", 1),
			conflict: true, want: map[string]any{"n": int64(9)},
		},
		{
			name: "a write, then log-out", a: set("x", 1), b: invalidate, conflict: true,
			want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{name: "log-out twice", a: invalidate, b: invalidate, conflict: true},
		{name: "log-out and a reader", a: invalidate, b: read("n")},
		{
			name: "log-out and a reader that writes another session", a: invalidate, b: elsewhere,
			conflict: true,
		},
		{
			name: "log-out and a reader in a new slice", a: invalidate, b: read("n"),
			pass: time.Minute,
		},
		{
			name: "log-out and a reader that marks the use", a: invalidate, b: read("n"),
			pass: longUnused, conflict: true,
		},
		{name: "renewal, then a slow request", a: carry, b: set("x", 1), conflict: true},
		{
			name: "a write, then renewal", a: set("x", 1), b: carry, conflict: true,
			want: map[string]any{"n": int64(4), "x": int64(1)},
		},
		{
			name: "two readers that mark the use", a: read("n"), b: both(keys, read("n")),
			pass: longUnused, want: map[string]any{"n": int64(4)},
		},
		{
			name: "two writers that mark the use", a: set("x", 1), b: set("y", 1), pass: time.Minute,
			want: map[string]any{"n": int64(4), "x": int64(1), "y": int64(1)},
		},
		{
			name: "begun by both", fresh: true, a: set("x", 1), b: set("y", 1), conflict: true,
			want: map[string]any{"x": int64(1)},
		},
		{
			name: "begun by one, read by the other", fresh: true, a: set("x", 1),
			b: both(read("x"), keys), want: map[string]any{"x": int64(1)},
		},
		{name: "nothing at all", fresh: true, a: nothing, b: nothing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			if !tt.fresh {
				f.set(t, "u", map[string]any{"n": 4})
			}
			f.clock.pass(tt.pass)
			ctxA, commitA := begin(t)
			ctxB, commitB := begin(t)
			a, b := f.get(ctxA, t, "u"), f.get(ctxB, t, "u")
			must(t, tt.a(f, ctxA, a))
			must(t, tt.b(f, ctxB, b))
			must(t, commitA())
			switch err := commitB(); {
			case tt.conflict:
				wantConflict(t, err)
			case err != nil:
				t.Errorf("got %v, want no conflict", err)
			}
			if diff := cmp.Diff(tt.want, f.stored(t, "u")); diff != "" {
				t.Errorf("stored (-want +got): %s", diff)
			}
		})
	}
}

// After two concurrent transactions marked a session as used, it has one used record and one index
// entry. The later slice wins, whichever transaction commits first.
func TestConcurrentTouches(t *testing.T) {
	t.Parallel()
	for _, laterFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("laterFirst=%t", laterFirst), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "u", map[string]any{"n": 4})
			f.clock.pass(longUnused)
			ctxA, commitA := begin(t)
			f.get(ctxA, t, "u")
			f.clock.pass(time.Minute)
			ctxB, commitB := begin(t)
			f.get(ctxB, t, "u")
			if laterFirst {
				commitA, commitB = commitB, commitA
			}
			must(t, commitA())
			must(t, commitB())
			do(t, func(ctx context.Context) {
				if got := f.get(ctx, t, "u").LastUsed(); !got.Equal(time.Unix(start, 0).Add(longUnused + time.Minute)) {
					t.Errorf("LastUsed: got %v", got)
				}
			})
			// The next use and the next sweep delete a leftover record.
			f.clock.pass(time.Minute)
			f.stored(t, "u")
			f.clock.pass(20 * time.Minute)
			if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
				t.Errorf("Sweep: got %d, %v", n, err)
			}
			do(t, func(ctx context.Context) {
				used, err := f.Used(ctx, "u")
				if err != nil || !cmp.Equal(used, []time.Time{time.Unix(start, 0).Add(longUnused + 2*time.Minute)}) {
					t.Errorf("index: got %v, %v", used, err)
				}
			})
			f.clock.pass(20 * time.Second)
			if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
				t.Errorf("Sweep: got %d, %v", n, err)
			}
			if got := f.records(t); len(got) != 0 {
				t.Errorf("left over: %v", got)
			}
		})
	}
}

// 64 clients add to one key, and each to a key of its own, at the same time with the default
// policy. Every acknowledged addition is kept.
func TestNoUpdateIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	const clients, rounds = 64, 20
	var acknowledged, lost atomic.Int64
	var all sync.WaitGroup
	own := make([]int64, clients)
	for c := range clients {
		all.Go(func() {
			key := fmt.Sprintf("own%d", c)
			for range rounds {
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					s, err := f.Get(session.WithID(ctx, "u"))
					if err != nil {
						return err
					}
					for _, key := range []string{"n", key} {
						n, _, err := session.Get[int](s, key)
						if err != nil {
							return err
						}
						if err := s.Set(key, n+1); err != nil {
							return err
						}
					}
					return nil
				})
				switch {
				case err == nil:
					acknowledged.Add(1)
					own[c]++
				case transaction.IsTransient(err):
					lost.Add(1)
				default:
					t.Errorf("client %d: %v", c, err)
				}
			}
		})
	}
	all.Wait()
	if n := lost.Load(); n > clients*rounds/100 {
		t.Errorf("%d of %d conflicted in all their tries, want at most 1 %%", n, clients*rounds)
	}
	got := f.stored(t, "u")
	if got["n"] != acknowledged.Load() {
		t.Errorf("got n = %v, want the %d that were acknowledged", got["n"], acknowledged.Load())
	}
	for c := range clients {
		if key := fmt.Sprintf("own%d", c); got[key] != own[c] {
			t.Errorf("got %s = %v, want %d", key, got[key], own[c])
		}
	}
	if got := f.events.take(); !cmp.Equal(got, told("begun", "u")) {
		t.Errorf("events: got %v, want one", got)
	}
}

// Slow requests run while the browser logs out and in. None may store values in the session of a
// later log-in.
func TestLogoutRace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	policy := transaction.Policy{Tries: 100}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					s, err := f.Get(session.WithID(ctx, "u"))
					if err != nil {
						return err
					}
					generation, ok, err := session.Get[int](s, "generation")
					if err != nil || !ok {
						return err
					}
					return s.Set(fmt.Sprint("seen", generation), true)
				}, policy)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for generation := range 50 {
		must(t, transaction.Run(t.Context(), func(ctx context.Context) error {
			s, err := f.Get(session.WithID(ctx, "u"))
			if err != nil {
				return err
			}
			if err := s.Invalidate(); err != nil {
				return err
			}
			if s, err = f.Get(session.WithID(ctx, "u")); err != nil {
				return err
			}
			return s.Set("generation", generation)
		}, policy))
		// Every value of a session was set after the log-in that began the session.
		got := f.stored(t, "u")
		delete(got, "generation")
		delete(got, fmt.Sprint("seen", generation))
		if len(got) != 0 {
			t.Fatalf("generation %d holds %v", generation, got)
		}
	}
	all.Wait()
	if got := len(f.events.take()); got != 99 {
		t.Errorf("got %d events, want 50 begun and 49 ended", got)
	}
}
