package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// An event handler can store the event in a transaction of its own.
func TestHandlerStores(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	m, err := session.NewManager(f.db,
		session.Config{OnEnd: func(ctx context.Context, info session.Info) {
			err := transaction.Run(ctx, func(ctx context.Context) error {
				tx, err := f.db.Tx(ctx)
				if err != nil {
					return err
				}
				return tx.Bucket("ended").Put([]byte(info.Ref), []byte(info.Reason.String()))
			})
			if err != nil {
				t.Error(err)
			}
		}})
	must(t, err)
	m.SetClock(f.clock.read)
	f.set(t, "a", map[string]any{"n": 1})
	f.set(t, "b", map[string]any{"n": 1})
	do(t, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, "a"))
		must(t, err)
		must(t, s.Invalidate())
	})
	f.clock.pass(time.Hour)
	if n, err := m.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
	do(t, func(ctx context.Context) {
		tx, err := f.db.Tx(ctx)
		must(t, err)
		for id, want := range map[string]string{"a": "invalidated", "b": "expired"} {
			if got, err := tx.Bucket("ended").Get([]byte(session.RefOf(id))); string(got) != want ||
				err != nil {
				t.Errorf("%s: got %q, %v, want %q", id, got, err, want)
			}
		}
	})
}

func TestEventHandlers(t *testing.T) {
	t.Parallel()
	var ended []session.Info
	f := newFixture(t, session.Config{})
	m, err := session.NewManager(f.db, session.Config{
		OnBegin: func(context.Context, session.Info) { panic("in a handler") },
		OnEnd:   func(_ context.Context, info session.Info) { ended = append(ended, info) },
	})
	must(t, err)
	m.SetClock(f.clock.read)
	for _, id := range []string{"a", "b"} {
		do(t, func(ctx context.Context) { // must commit although the handler panics
			s, err := m.Get(session.WithID(ctx, id))
			must(t, err)
			must(t, s.Update(map[string]any{"user": id, "n": 7}))
		})
	}
	do(t, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, "a"))
		must(t, err)
		must(t, s.Set("last", "words"))
		must(t, s.Invalidate())
	})
	if len(ended) != 1 {
		t.Fatalf("got %d end events, want 1", len(ended))
	}
	info := ended[0]
	all, err := info.All()
	if err != nil || !cmp.Equal(all, map[string]any{"user": "a", "n": int64(7), "last": "words"}) ||
		!cmp.Equal(info.Keys(), []string{"last", "n", "user"}) {
		t.Errorf("the values at the end: got %v, %v", all, err)
	}
	if user, ok, err := session.Get[string](info, "user"); user != "a" || !ok || err != nil {
		t.Errorf("Value of an Info: got %q, %t, %v", user, ok, err)
	}
	if _, ok, err := session.Get[string](info, "none"); ok || err != nil {
		t.Errorf("Value of a missing key: got %t, %v", ok, err)
	}
	if _, _, err := session.Get[int](info, "user"); err == nil {
		t.Error("Value of another type: got no error")
	}
	do(t, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, "b"))
		must(t, err)
		must(t, s.PutItem("bad", []byte{0}))
		must(t, s.Invalidate())
	})
	if _, err := ended[1].All(); !strings.Contains(fmt.Sprint(err),
		`can't read the value of "bad"`) {
		t.Errorf("All of an Info that is damaged: got %v", err)
	}
	if got := session.Reason(7).String(); got != "Reason(7)" {
		t.Errorf("String: got %q", got)
	}
}
