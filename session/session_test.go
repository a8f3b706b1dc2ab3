package session_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config session.Config
		want   []string // parts of the error; none: valid
	}{
		{"zero", session.Config{}, nil},
		{"shortest", session.Config{Timeout: time.Millisecond, Period: time.Millisecond}, nil},
		{
			"all wrong",
			session.Config{Timeout: -1, Period: time.Microsecond, SweepInterval: -1},
			[]string{"timeout -1ns: want at least 1ms", "period 1µs", "sweep interval -1ns"},
		},
		{
			"name of an index",
			session.Config{Name: "session.used"},
			[]string{`name "session.used": want at most 250 bytes`},
		},
		{
			"reserved name",
			session.Config{Name: "\x00meta"},
			[]string{"no zero byte at the beginning"},
		},
		{
			"long name",
			session.Config{Name: strings.Repeat("n", 251)},
			[]string{"want at most 250 bytes"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.config.Validate()
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("got %v, want an error: %t", err, tt.want != nil)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
	if _, err := session.NewManager(nil, session.Config{}); err == nil ||
		!strings.Contains(err.Error(), "no database") {
		t.Errorf("NewManager(nil): got %v, want an error", err)
	}
	f := newFixture(t, session.Config{})
	if _, err := session.NewManager(f.db, session.Config{Timeout: -1}); err == nil {
		t.Error("NewManager with a wrong Config: got no error")
	}
}

func TestGetWithoutFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	if _, err := f.Get(session.WithID(t.Context(), "id")); !errors.Is(err,
		transaction.ErrNoTransaction) || !strings.Contains(err.Error(), "egg:repoze.tm2#tm") {
		t.Errorf("without a transaction: got %v", err)
	}
	do(t, func(ctx context.Context) {
		if _, err := f.Get(session.WithID(ctx, "")); !errors.Is(err, session.ErrNoID) ||
			!strings.Contains(err.Error(), "egg:repoze.browserid#browserid") {
			t.Errorf("without an id: got %v", err)
		}
		if _, err := f.Lookup(session.WithID(ctx, "")); !errors.Is(err, session.ErrNoID) {
			t.Errorf("Query without an id: got %v", err)
		}
		if _, err := f.Has(session.WithID(ctx, "")); !errors.Is(err, session.ErrNoID) {
			t.Errorf("Has without an id: got %v", err)
		}
		if _, err := f.Get(ctx); !errors.Is(err, session.ErrNoID) {
			t.Errorf("without a browser: got %v", err)
		}
		for _, ctx := range []context.Context{ctx, session.WithID(ctx, "")} {
			if err := f.Renew(ctx); !errors.Is(err, session.ErrNoID) {
				t.Errorf("Renew without an id: got %v", err)
			}
		}
		if err := f.Renew(session.WithID(ctx, "id")); !errors.Is(err, session.ErrIDNotSent) ||
			!strings.Contains(err.Error(), "session.WithID") {
			t.Errorf("Renew of an id from WithID: got %v", err)
		}
	})
}

func TestNewSessionIsStoredLazily(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		if !s.IsNew() || !s.Valid() || s.ID() != "id" || s.Ref() != session.RefOf("id") {
			t.Errorf("new session: got IsNew %t, Valid %t, ID %q, Ref %q", s.IsNew(), s.Valid(),
				s.ID(), s.Ref())
		}
		if got := s.Created(); !got.Equal(time.Unix(start, 0)) {
			t.Errorf("Created: got %v", got)
		}
		if got, err := s.LastModified(); err != nil || !got.IsZero() {
			t.Errorf("LastModified: got %v, %v, want zero", got, err)
		}
		if again := f.get(ctx, t, "id"); again != s {
			t.Error("a second Get returned another Session")
		}
		if got, err := f.Lookup(session.WithID(ctx, "id")); got != nil || err != nil {
			t.Errorf("Query: got %v, %v, want none", got, err)
		}
		if ok, err := f.Has(session.WithID(ctx, "id")); ok || err != nil {
			t.Errorf("Has: got %t, %v, want none", ok, err)
		}
		must(t, s.Delete("nothing"))
		must(t, s.Clear())
		must(t, s.Update(nil))
	})
	if got := f.records(t); len(got) != 0 {
		t.Errorf("records of a session to which nothing was written: %v", got)
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: %v", got)
	}

	f.clock.pass(time.Second)
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		f.clock.pass(time.Second)
		must(t, s.Set("n", 1))
		if got, err := f.Lookup(session.WithID(ctx, "id")); got != s || err != nil {
			t.Errorf("Query after Set: got %v, %v", got, err)
		}
		if !s.IsNew() {
			t.Error("not new in the transaction that stores it")
		}
	})
	f.clock.pass(time.Second)
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		modified, err := s.LastModified()
		must(t, err)
		if s.IsNew() || !s.Created().Equal(time.Unix(start+1, 0)) ||
			!modified.Equal(time.Unix(start+2, 0)) || !s.LastUsed().Equal(time.Unix(start, 0)) {
			t.Errorf("stored session: got IsNew %t, Created %v, LastModified %v, LastUsed %v",
				s.IsNew(), s.Created(), modified, s.LastUsed())
		}
	})
}

func TestDict(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"a": 1, "b": "two", "": true})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		if keys, err := s.Keys(); err != nil || !cmp.Equal(keys, []string{"", "a", "b"}) {
			t.Errorf("Keys: got %q, %v", keys, err)
		}
		if n, err := s.Len(); err != nil || n != 3 {
			t.Errorf("Len: got %d, %v", n, err)
		}
		if ok, err := s.Has("a"); err != nil || !ok {
			t.Errorf("Has: got %t, %v", ok, err)
		}
		if ok, err := s.Has("A"); err != nil || ok {
			t.Errorf("Has of a missing key: got %t, %v", ok, err)
		}
		must(t, s.Set("a", 5))
		must(t, s.Delete("b"))
		must(t, s.Set("c", []string{"x"}))
		if v, ok, err := session.Pop[bool](s, ""); !v || !ok || err != nil {
			t.Errorf("Pop: got %v, %t, %v", v, ok, err)
		}
		if v, ok, err := session.Pop[bool](s, ""); v || ok || err != nil {
			t.Errorf("Pop of a missing key: got %v, %t, %v", v, ok, err)
		}
		if v, err := session.SetDefault(s, "a", 9); v != 5 || err != nil {
			t.Errorf("SetDefault of an existing key: got %v, %v", v, err)
		}
		if v, err := session.SetDefault(s, "d", 9); v != 9 || err != nil {
			t.Errorf("SetDefault: got %v, %v", v, err)
		}
		if _, err := session.SetDefault(s, "c", 9); err == nil {
			t.Error("SetDefault of another type: got no error")
		}
		if _, _, err := session.Pop[int](s, "c"); err == nil {
			t.Error("Pop of another type: got no error")
		}
		got, err := s.All()
		want := map[string]any{"a": int64(5), "c": []any{"x"}, "d": int64(9)}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("All: got %v, %v, want %v", got, err, want)
		}
	})
	want := map[string]any{"a": int64(5), "c": []any{"x"}, "d": int64(9)}
	if got := f.stored(t, "id"); !cmp.Equal(got, want) {
		t.Errorf("stored: got %v, want %v", got, want)
	}

	f.clock.pass(time.Second)
	do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "id").Clear()) })
	if got := f.stored(t, "id"); got == nil || len(got) != 0 {
		t.Errorf("after Clear: got %v, want a session without values", got)
	}
	do(t, func(ctx context.Context) {
		if got, err := f.get(ctx, t, "id").LastModified(); err != nil ||
			!got.Equal(time.Unix(start+1, 0)) {
			t.Errorf("LastModified after Clear: got %v, %v", got, err)
		}
	})
}

func TestValuesAreCopies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	raw, list := []byte("raw"), []string{"a"}
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		must(t, s.Set("raw", raw))
		must(t, s.Set("list", list))
		raw[0], list[0] = 'X', "X"
		got, _, err := session.Get[[]byte](s, "raw")
		must(t, err)
		got[0] = 'Y'
	})
	want := map[string]any{"raw": []byte("raw"), "list": []any{"a"}}
	if got := f.stored(t, "id"); !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNegativeMaxSizeIsNoLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{MaxSize: -1})
	do(t, func(ctx context.Context) {
		must(t, f.get(ctx, t, "id").Set("big", strings.Repeat("x", 10*session.DefaultMaxSize)))
	})
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{MaxSize: 100})
	const id = "secret-browser-id"
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, id)
		err := s.Set("big", strings.Repeat("x", 100))
		size, ok := errors.AsType[*session.SizeError](err)
		if !ok || size.Key != "big" || size.Limit != 100 || size.Size <= 100 ||
			size.Session != s.Ref() {
			t.Fatalf("got %#v", err)
		}
		if strings.Contains(err.Error(), id) || transaction.IsTransient(err) {
			t.Errorf("the error contains the id, or is transient: %v", err)
		}
		if !s.IsNew() || len(f.records(t)) != 0 {
			t.Error("a refused Set has stored records")
		}
		must(t, s.Set("a", strings.Repeat("x", 40)))
		must(t, s.Set("a", strings.Repeat("x", 90)))
		if err := s.Set("b", strings.Repeat("x", 40)); err == nil {
			t.Error("two values that are together too long: got no error")
		}
		must(t, s.Delete("a"))
		must(t, s.Set("b", strings.Repeat("x", 40)))
	})
	smaller := f.another(t, session.Config{MaxSize: 10})
	do(t, func(ctx context.Context) {
		s, err := smaller.Get(session.WithID(ctx, id))
		must(t, err)
		if err := s.Set("c", 1); err == nil {
			t.Error("a session over a lowered limit could grow")
		}
		if err := s.Set("b", "short enough"); err != nil {
			t.Errorf("a session over a lowered limit could not shrink: %v", err)
		}
	})
}

func TestSessionEndsWithItsTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	for _, commit := range []bool{true, false} {
		ctx, txn := transaction.Begin(t.Context())
		s := f.get(ctx, t, "id")
		must(t, s.Set("n", 1))
		if commit {
			must(t, txn.Commit(ctx))
		} else {
			must(t, txn.Abort(ctx))
		}
		if s.Valid() {
			t.Error("still valid after the transaction")
		}
		_, _, readErr := session.Get[int](s, "n")
		_, keysErr := s.Keys()
		_, allErr := s.All()
		_, getErr := f.Get(session.WithID(ctx, "id"))
		for name, err := range map[string]error{
			"Set": s.Set("n", 2), "Value": readErr, "Keys": keysErr, "All": allErr,
			"Delete": s.Delete("n"), "Invalidate": s.Invalidate(),
		} {
			if !errors.Is(err, session.ErrFinished) {
				t.Errorf("%s: got %v, want ErrFinished", name, err)
			}
		}
		if getErr == nil {
			t.Error("Get in a finished transaction: got no error")
		}
	}
}

// A rollback to a savepoint from before the first use of the manager discards its sessions, and the
// transaction continues.
func TestSavepointBeforeFirstUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"n": 1})
	f.events.take()
	f.clock.pass(time.Minute)
	do(t, func(ctx context.Context) {
		txn, _ := transaction.FromContext(ctx)
		before, err := txn.Savepoint()
		must(t, err)
		for range 2 {
			must(t, f.get(ctx, t, "id").Set("n", 2))
			must(t, f.get(ctx, t, "new").Set("x", 1))
			must(t, f.renew(ctx, "id", "elsewhere"))
			must(t, before.Rollback())
		}
		s := f.get(ctx, t, "id")
		if got, err := s.All(); err != nil || !cmp.Equal(got, map[string]any{"n": int64(1)}) {
			t.Errorf("after the rollback: got %v, %v", got, err)
		}
		must(t, s.Set("m", 5))
	})
	if got := f.stored(t, "id"); !cmp.Equal(got, map[string]any{"n": int64(1), "m": int64(5)}) {
		t.Errorf("stored: got %v", got)
	}
	if f.stored(t, "new") != nil || f.stored(t, "elsewhere") != nil {
		t.Error("a value that was rolled back was stored")
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}

func TestInvalidate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"user": "ann", "n": 1})
	if got := f.events.take(); !cmp.Equal(got, told("begun", "id")) {
		t.Errorf("events: got %v", got)
	}
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		must(t, s.Invalidate())
		if err := s.Set("n", 2); !errors.Is(err, session.ErrInvalidated) {
			t.Errorf("Set after Invalidate: got %v", err)
		}
		if err := s.Invalidate(); !errors.Is(err, session.ErrInvalidated) {
			t.Errorf("Invalidate again: got %v", err)
		}
		if ok, err := f.Has(session.WithID(ctx, "id")); ok || err != nil {
			t.Errorf("Has after Invalidate: got %t, %v", ok, err)
		}
		next := f.get(ctx, t, "id")
		if next == s || !next.IsNew() {
			t.Error("Get after Invalidate did not return a new session")
		}
		if ok, err := next.Has("user"); ok || err != nil {
			t.Errorf("the new session has a value of the old one: %t, %v", ok, err)
		}
	})
	if got := f.records(t); len(got) != 0 {
		t.Errorf("records after Invalidate: %v", got)
	}
	if got := f.events.take(); !cmp.Equal(got, told("invalidated", "id")) {
		t.Errorf("events: got %v", got)
	}

	// End a session and begin a new one in one transaction.
	f.set(t, "id", map[string]any{"user": "ann"})
	f.events.take()
	do(t, func(ctx context.Context) {
		must(t, f.get(ctx, t, "id").Invalidate())
		must(t, f.get(ctx, t, "id").Set("user", "bob"))
	})
	if got := f.events.take(); !cmp.Equal(got, told("begun", "id", "invalidated", "id")) {
		t.Errorf("events: got %v", got)
	}
	if got := f.stored(t, "id"); !cmp.Equal(got, map[string]any{"user": "bob"}) {
		t.Errorf("stored: got %v", got)
	}

	// Begin and end a session in one transaction: nothing is stored, and no event is sent.
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "other")
		must(t, s.Set("n", 1))
		must(t, s.Invalidate())
		must(t, f.get(ctx, t, "nobody").Invalidate())
	})
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}

func TestManagersAreSeparate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	other := f.another(t, session.Config{Name: "other"})
	do(t, func(ctx context.Context) {
		must(t, f.get(ctx, t, "id").Set("n", 1))
		if ok, err := other.Has(session.WithID(ctx, "id")); ok || err != nil {
			t.Errorf("the other manager has the session, too: %t, %v", ok, err)
		}
	})
	do(t, func(ctx context.Context) {
		if ok, err := other.Has(session.WithID(ctx, "id")); ok || err != nil {
			t.Errorf("the other manager has the session, too: %t, %v", ok, err)
		}
	})
}

func TestFailedAttemptStoresNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"n": 1})
	before := f.records(t)
	f.events.take()
	f.clock.pass(time.Minute)
	ctx, txn := transaction.Begin(t.Context())
	must(t, f.get(ctx, t, "id").Set("n", 2))
	must(t, f.get(ctx, t, "other").Set("n", 2))
	must(t, f.renew(ctx, "id", "third"))
	must(t, f.get(ctx, t, "other").Invalidate())
	must(t, txn.Abort(ctx))
	if diff := cmp.Diff(before, f.records(t)); diff != "" {
		t.Errorf("records: %s", diff)
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}

// A handler that http.TimeoutHandler has abandoned may still use its session while the transaction
// is aborted.
func TestAbortedWhileUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"n": 1})
	before := f.records(t)
	f.events.take()
	for range 20 {
		ctx, txn := transaction.Begin(t.Context())
		started := make(chan struct{})
		var left sync.WaitGroup
		left.Go(func() {
			var err error
			for n := 0; err == nil; n++ {
				var s *session.Session
				if s, err = f.Get(session.WithID(ctx, []string{"id", "new"}[n%2])); err == nil {
					err = s.Set("n", n)
				}
				if n == 2 {
					close(started)
				}
			}
			if !errors.Is(err, transaction.ErrEnded) && !errors.Is(err, session.ErrFinished) {
				t.Errorf("got %v, want ErrEnded or ErrFinished", err)
			}
		})
		<-started
		must(t, txn.Abort(ctx))
		left.Wait()
	}
	if diff := cmp.Diff(before, f.records(t)); diff != "" {
		t.Errorf("records: %s", diff)
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "id", map[string]any{"n": 1, "m": 1})
	f.events.take()
	do(t, func(ctx context.Context) {
		txn, _ := transaction.FromContext(ctx)
		s := f.get(ctx, t, "id")
		unwritten, err := txn.Savepoint()
		must(t, err)
		must(t, s.Set("n", 2))
		written, err := txn.Savepoint()
		must(t, err)
		for range 2 {
			must(t, s.Set("n", 3))
			must(t, s.Delete("m"))
			must(t, f.get(ctx, t, "new").Set("x", 1))
			must(t, f.renew(ctx, "id", "elsewhere"))
			must(t, s.Invalidate())
			late := f.get(ctx, t, "id")
			must(t, written.Rollback())
			if got, err := s.All(); err != nil ||
				!cmp.Equal(got, map[string]any{"n": int64(2), "m": int64(1)}) || s.ID() != "id" {
				t.Fatalf("after the rollback: got %v, %v under %q", got, err, s.ID())
			}
			if err := late.Set("n", 9); !errors.Is(err, session.ErrRolledBack) {
				t.Errorf("a Session of the part that was rolled back: got %v", err)
			}
			if f.get(ctx, t, "id") != s {
				t.Error("Get returns another Session after the rollback")
			}
		}
		for range 2 {
			must(t, s.Set("n", 4))
			must(t, f.renew(ctx, "id", "elsewhere"))
			must(t, unwritten.Rollback())
			if got, _, err := session.Get[int](s, "n"); got != 1 || err != nil ||
				s.ID() != "id" || s.IsNew() {
				t.Errorf("after the rollback to the beginning: got %d, %v under %q", got,
					err, s.ID())
			}
		}
		must(t, s.Set("m", 5))
	})
	if got := f.stored(t, "id"); !cmp.Equal(got, map[string]any{"n": int64(1), "m": int64(5)}) {
		t.Errorf("stored: got %v", got)
	}
	if f.stored(t, "new") != nil || f.stored(t, "elsewhere") != nil {
		t.Error("a value that was rolled back was stored")
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}
