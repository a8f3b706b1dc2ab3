package session_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// as returns the context of a request with this id, in the transaction of ctx. Its browser can't
// receive a new id.
func as(ctx context.Context, id string) context.Context { return behind(ctx, &browser{id: id}) }

// login renews the session of the browser b, and returns the browser's new id.
func (f *fixture) login(tb testing.TB, b *browser, options ...session.RenewOption) string {
	tb.Helper()
	do(tb, func(ctx context.Context) { must(tb, f.Renew(behind(ctx, b), options...)) })
	id, _ := b.ID()
	return id
}

func (f *fixture) wantStored(tb testing.TB, id string, want map[string]any) {
	tb.Helper()
	if got := f.stored(tb, id); !cmp.Equal(got, want) {
		tb.Errorf("stored under %.8s: got %v, want %v", id, got, want)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "old", map[string]any{"cart": 3, "seen": true})
	f.events.take()
	f.clock.pass(time.Minute)
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "old")
		must(t, s.Set("step", 1))
		must(t, f.renew(ctx, "old", "new", session.As("ann")))
		if s.ID() != "new" || f.get(ctx, t, "new") != s || s.IsNew() ||
			!s.Created().Equal(time.Unix(start, 0)) {
			t.Errorf("the Session is not the renewed one: id %q, new %t, created %v", s.ID(), s.IsNew(),
				s.Created())
		}
		must(t, s.Set("late", 1))
		must(t, s.Delete("seen"))
		if user, ok, err := s.User(); user != "ann" || !ok || err != nil {
			t.Errorf("User: got %q, %t, %v", user, ok, err)
		}
		if ok, err := f.Has(session.WithID(ctx, "old")); ok || err != nil {
			t.Errorf("Has of the old id: got %t, %v", ok, err)
		}
	})
	f.wantStored(t, "new", map[string]any{
		"cart": int64(3), "step": int64(1), "_user_": "ann",
		"late": int64(1),
	})
	f.wantStored(t, "old", nil)
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
	// Under the new id the session expires as usual; after the grace no record is left.
	do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "new").Invalidate()) })
	if got := f.events.take(); !cmp.Equal(got, told("invalidated", "new")) {
		t.Errorf("events: got %v", got)
	}
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil || len(f.records(t)) == 0 {
		t.Errorf("Sweep after the grace: got %d, %v, and %d records", n, err, len(f.records(t)))
	}
	f.clock.pass(session.DefaultGrace + session.DefaultPeriod)
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
	if got := f.records(t); len(got) != 0 {
		t.Errorf("records at the end: %v", got)
	}
	if got := f.events.take(); got != nil {
		t.Errorf("events: got %v", got)
	}
}

// Under an id that has ended no session can be read or written, until the tombstone is deleted.
func TestRenewedIDIsRefused(t *testing.T) {
	t.Parallel()
	// the result does not depend on whether a session was stored
	for _, stored := range []bool{true, false} {
		f := newFixture(t, session.Config{})
		if stored {
			f.set(t, "old", map[string]any{"cart": 3})
		}
		b := &browser{id: "old"}
		now := f.login(t, b)
		if now == "old" {
			t.Fatal("the browser has the old id")
		}
		do(t, func(ctx context.Context) {
			s, err := f.Get(as(ctx, "old"))
			must(t, err)
			all, err := s.All()
			if len(all) != 0 || err != nil || !s.IsNew() {
				t.Errorf("read: got %v, %v, new %t", all, err, s.IsNew())
			}
			if messages, err := s.PopFlash(""); len(messages) != 0 || err != nil {
				t.Errorf("PopFlash: got %v, %v", messages, err)
			}
			must(t, s.Delete("cart"))
			must(t, s.Clear())
			_, tokenErr := s.CSRFToken()
			for _, err := range []error{
				s.Set("cart", 4), s.Update(map[string]any{"a": 1}),
				s.Flash("x", ""), tokenErr, s.Invalidate(),
			} {
				status, ok := errors.AsType[interface {
					error
					HTTPStatus() int
				}](err)
				if !errors.Is(err, session.ErrRenewed) || !ok || status.HTTPStatus() != 409 ||
					transaction.IsTransient(err) {
					t.Errorf("write: got %v, want ErrRenewed, with status 409, and not transient",
						err)
				}
			}
		})
		want := map[string]any{"cart": int64(3)}
		if !stored {
			want = nil
		}
		f.wantStored(t, now, want)
		// After the grace, the id can be used like any other.
		f.clock.pass(session.DefaultGrace)
		do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "old").Set("n", 1)) })
		f.wantStored(t, "old", map[string]any{"n": int64(1)})
	}
}

// After the two renewals of a double click, with or without users, the browser has a session with
// its data, and never that of another user.
func TestRenewTwice(t *testing.T) {
	t.Parallel()
	ann, bob := session.As("ann"), session.As("bob")
	none := session.As("")
	tests := []struct {
		name          string
		before        session.RenewOption // the owner of the session before
		first, second session.RenewOption
		want          map[string]any // the data after the second renewal; nil: none
		same          bool           // both renewals give the same session
		err           error
	}{
		{
			name: "log-in", before: none, first: none, second: none,
			want: map[string]any{"cart": int64(1)},
		},
		{
			name: "log-in of one user", before: none, first: ann, second: ann, same: true,
			want: map[string]any{
				"cart": int64(1), "_user_": "ann", "later": true,
			},
		},
		{
			name: "log-in of two users", before: none, first: ann, second: bob,
			want: map[string]any{"cart": int64(1), "_user_": "bob"},
		},
		{
			name: "only the first names the user", before: none, first: ann, second: none,
			want: map[string]any{"cart": int64(1)},
		},
		{
			name: "change of password, twice", before: ann, first: ann, second: ann, same: true,
			want: map[string]any{
				"cart": int64(1), "_user_": "ann", "later": true,
			},
		},
		{
			name: "change of password, then a holder of the old id", before: ann, first: ann,
			second: none, err: session.ErrRenewed,
		},
		{
			name: "change of password, then another's log-in with the old id", before: ann, first: ann,
			second: bob, want: map[string]any{"_user_": "bob"},
		},
		{
			name: "renewal from time to time, twice", before: ann, first: none, second: none,
			err: session.ErrRenewed,
		},
		{
			name: "renewal from time to time, then a log-in", before: ann, first: none, second: ann,
			same: true, want: map[string]any{
				"cart": int64(1), "_user_": "ann", "later": true,
			},
		},
		{
			name: "another user, then the former", before: ann, first: bob, second: ann,
			want: map[string]any{"cart": int64(1), "_user_": "ann"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "zero", map[string]any{"cart": 1})
			old := f.login(t, &browser{id: "zero"}, tt.before)
			first := f.login(t, &browser{id: old}, tt.first)
			f.set(t, first, map[string]any{"later": true})

			second := &browser{id: old}
			var got map[string]any
			do(t, func(ctx context.Context) {
				ctx = behind(ctx, second)
				s, err := f.Get(ctx) // log-ins read the session to check the token
				must(t, err)
				err = f.Renew(ctx, tt.second)
				if !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if err == nil {
					again, err := f.Get(ctx)
					must(t, err)
					if again != s {
						t.Error("the earlier Session is not the renewed one")
					}
					must(t, s.Set("mine", true))
				}
			})
			id, _ := second.ID()
			got = f.stored(t, id)
			delete(got, "mine")
			if !cmp.Equal(got, tt.want) || (id == first) != tt.same ||
				(id == old) != (tt.err != nil) {
				t.Errorf("got %v under %.8s, want %v; old %.8s, first %.8s", got, id,
					tt.want, old, first)
			}
			// A request with the old id alone can't reach the session of the first renewal.
			if !tt.same && f.stored(t, first)["mine"] != nil {
				t.Error("the second has written to the first's session")
			}
		})
	}
}

// Values that a log-in's transaction sets before Renew are not stored under the old id.
func TestRenewHidesNewItems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "old", map[string]any{"cart": 1, "token": "x"})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "old")
		must(t, s.Set("user", "ann"))
		must(t, s.Set("cart", 2))
		must(t, s.Delete("token"))
		must(t, f.renew(ctx, "old", "new"))
		must(t, s.Set("admin", true))
	})
	f.wantStored(t, "new", map[string]any{"cart": int64(2), "user": "ann", "admin": true})
	f.wantStored(t, f.login(t, &browser{id: "old"}), map[string]any{"cart": int64(1), "token": "x"})
	// A session that the transaction itself began leaves no items under the old id, either.
	do(t, func(ctx context.Context) {
		must(t, f.get(ctx, t, "begun").Set("user", "ann"))
		must(t, f.renew(ctx, "begun", "begun, renewed"))
	})
	f.wantStored(t, "begun, renewed", map[string]any{"user": "ann"})
	f.wantStored(t, f.login(t, &browser{id: "begun"}), nil)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestRenewInOneTransaction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		work func(ctx context.Context, f *fixture, s *session.Session) error
		want map[string]any // the browser's session afterwards
		left map[string]any // the result of a second renewal of the old id
		told []string
	}{
		{"twice", func(ctx context.Context, f *fixture, s *session.Session) error {
			err := f.Renew(ctx)
			id := s.ID()
			err = errors.Join(err, f.Renew(ctx, session.As("ann")))
			if s.ID() != id {
				err = errors.Join(err, errors.New("the second Renew has changed the id"))
			}
			return err
		}, map[string]any{"n": int64(1), "_user_": "ann"}, map[string]any{"n": int64(1)}, nil},
		{"then invalidated", func(ctx context.Context, f *fixture, s *session.Session) error {
			return errors.Join(f.Renew(ctx), s.Invalidate())
		}, nil, map[string]any{"n": int64(1)}, []string{"invalidated"}},
		{"invalidated, then renewed", func(ctx context.Context, f *fixture,
			s *session.Session,
		) error {
			return errors.Join(s.Invalidate(), f.Renew(ctx))
		}, nil, nil, []string{"invalidated"}},
		{"invalidated, renewed and begun again", func(ctx context.Context, f *fixture,
			s *session.Session,
		) error {
			err := errors.Join(s.Invalidate(), f.Renew(ctx))
			next, err2 := f.Get(ctx)
			if err2 != nil {
				return err2
			}
			return errors.Join(err, next.Set("x", 1))
		}, map[string]any{"x": int64(1)}, nil, []string{"begun", "invalidated"}},
		{"renewed, invalidated and begun again", func(ctx context.Context, f *fixture,
			s *session.Session,
		) error {
			err := errors.Join(f.Renew(ctx), s.Invalidate())
			next, err2 := f.Get(ctx)
			if err2 != nil {
				return err2
			}
			if all, err := next.All(); len(all) != 0 || err != nil {
				return errors.New("what was invalidated is there again")
			}
			return errors.Join(err, next.Set("x", 1))
		}, map[string]any{"x": int64(1)}, map[string]any{"n": int64(1)}, []string{
			"begun",
			"invalidated",
		}},
		{"invalidated and written to", func(ctx context.Context, f *fixture,
			s *session.Session,
		) error {
			if err := s.Invalidate(); err != nil {
				return err
			}
			next, err := f.Get(ctx)
			if err != nil {
				return err
			}
			return next.Set("x", 1)
		}, map[string]any{"x": int64(1)}, map[string]any{"x": int64(1)}, []string{
			"begun",
			"invalidated",
		}},
		{"cleared, then renewed", func(ctx context.Context, f *fixture, s *session.Session) error {
			return errors.Join(s.Clear(), f.Renew(ctx))
		}, map[string]any{}, map[string]any{"n": int64(1)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "old", map[string]any{"n": 1})
			f.events.take()
			b := &browser{id: "old"}
			do(t, func(ctx context.Context) {
				ctx = behind(ctx, b)
				s, err := f.Get(ctx)
				must(t, err)
				must(t, tt.work(ctx, f, s))
			})
			var told []string
			for _, info := range f.events.list {
				told = append(told, info.Reason.String())
			}
			if !cmp.Equal(sorted(told), tt.told) {
				t.Errorf("events: got %v, want %v", told, tt.told)
			}
			id, _ := b.ID()
			f.wantStored(t, id, tt.want)
			f.wantStored(t, f.login(t, &browser{id: "old"}), tt.left)
		})
	}
}

// A renewal that is rolled back or aborted changes neither the browser's id nor its session.
func TestRenewFollowsTheTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "old", map[string]any{"n": 1})
	for _, used := range []bool{false, true} { // the session was used before the savepoint
		b := &browser{id: "old"}
		do(t, func(ctx context.Context) {
			txn, _ := transaction.FromContext(ctx)
			ctx = behind(ctx, b)
			if used {
				_, err := f.Get(ctx)
				must(t, err)
			}
			before, err := txn.Savepoint()
			must(t, err)
			for range 2 {
				must(t, f.Renew(ctx, session.As("ann")))
				must(t, before.Rollback())
				s, err := f.Get(ctx)
				must(t, err)
				if n, _, err := session.Get[int](s, "n"); s.ID() != "old" || n != 1 || err != nil {
					t.Errorf("after the rollback: got %d, %v under %q", n, err, s.ID())
				}
			}
		})
		ctx, txn := transaction.Begin(t.Context())
		must(t, f.Renew(behind(ctx, b)))
		must(t, txn.Abort(ctx))
		if id, _ := b.ID(); id != "old" {
			t.Errorf("the browser has %q", id)
		}
		f.wantStored(t, "old", map[string]any{"n": int64(1)})
	}
	// After a rollback, Renew works again.
	b := &browser{id: "old"}
	do(t, func(ctx context.Context) {
		txn, _ := transaction.FromContext(ctx)
		ctx = behind(ctx, b)
		before, err := txn.Savepoint()
		must(t, err)
		must(t, f.Renew(ctx))
		must(t, before.Rollback())
		must(t, f.Renew(ctx))
	})
	id, _ := b.ID()
	f.wantStored(t, id, map[string]any{"n": int64(1)})
	f.wantStored(t, "old", nil)
}

// A browser to which no cookie can be sent keeps its session, even if the app ignores the error.
func TestRenewWithoutCookie(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "old", map[string]any{"n": 1})
	deaf := errors.New("the header has been sent")
	b := &browser{id: "old", deaf: deaf}
	do(t, func(ctx context.Context) {
		if err := f.Renew(behind(ctx, b)); !errors.Is(err, session.ErrIDNotSent) ||
			!errors.Is(err, deaf) {
			t.Errorf("got %v", err)
		}
	})
	f.wantStored(t, "old", map[string]any{"n": int64(1)})
	b.deaf = nil
	err := try(t, func(ctx context.Context) {
		must(t, f.Renew(behind(ctx, b)))
		b.mu.Lock()
		b.deaf = deaf
		b.mu.Unlock()
	})
	if !errors.Is(err, deaf) {
		t.Errorf("commit: got %v, want an error that the id can't be sent", err)
	}
	f.wantStored(t, "old", map[string]any{"n": int64(1)})
	if err := try(t, func(ctx context.Context) { // storing the user fails after the new id was made
		b := &browser{id: "old"}
		if err := f.Renew(behind(ctx, b),
			session.As(string(make([]byte, session.DefaultMaxSize)))); err == nil {
			t.Error("Renew for a name that is too long: got no error")
		}
	}); !errors.Is(err, transaction.ErrDoomed) {
		t.Errorf("commit: got %v, want ErrDoomed", err)
	}
	f.wantStored(t, "old", map[string]any{"n": int64(1)})
}

// The browser has a session in each of two managers. After one has renewed its session, the other
// renews its own at the next Get.
func TestRenewOfTwoManagers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	second := &fixture{
		Manager: f.another(t, session.Config{Name: "second"}), db: f.db,
		clock: f.clock, events: f.events,
	}
	f.set(t, "old", map[string]any{"n": 1})
	second.set(t, "old", map[string]any{"m": 2})
	b := &browser{id: "old"}
	do(t, func(ctx context.Context) {
		ctx = behind(ctx, b)
		must(t, f.Renew(ctx))
		s, err := second.Get(ctx)
		must(t, err)
		if m, _, err := session.Get[int](s, "m"); m != 2 || err != nil {
			t.Errorf("the second: got %d, %v", m, err)
		}
		must(t, second.Renew(ctx))
	})
	id, _ := b.ID()
	f.wantStored(t, id, map[string]any{"n": int64(1)})
	second.wantStored(t, id, map[string]any{"m": int64(2)})
	second.wantStored(t, "old", nil)
}

// A CSRF token is replaced at a renewal; a session without a token gets none.
func TestRenewToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	var token string
	do(t, func(ctx context.Context) {
		var err error
		token, err = f.get(ctx, t, "old").CSRFToken()
		must(t, err)
	})
	first := f.login(t, &browser{id: "old"}, session.As("ann"))
	again := f.login(t, &browser{id: "old"})
	tokens := map[string]bool{token: true}
	for _, id := range []string{first, again} {
		tokens[f.stored(t, id)["_csrft_"].(string)] = true
	}
	if len(tokens) != 3 {
		t.Errorf("got %d different tokens, want 3", len(tokens))
	}
}

// Renew of an expired session ends it and begins a new one.
func TestRenewOfAnExpiredSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "old", map[string]any{"user": "ann"})
	f.events.take()
	f.clock.pass(time.Hour)
	f.wantStored(t, f.login(t, &browser{id: "old"}), nil)
	f.wantStored(t, f.login(t, &browser{id: "old"}), nil)
	if got := f.events.take(); !cmp.Equal(got, told("expired", "old")) {
		t.Errorf("events: got %v", got)
	}
}
