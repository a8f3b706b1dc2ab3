package session_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/transaction"
)

// Acknowledged changes are still stored after the database file was closed and opened again.
func TestBolt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	clock := newFakeClock()
	open := func(config session.Config) (m *session.Manager, closeDB func()) {
		db, err := bolt.Open(path, nil)
		must(t, err)
		m, err = session.NewManager(db, config)
		must(t, err)
		m.SetClock(clock.read)
		return m, func() { must(t, db.Close()) }
	}

	m, closeDB := open(session.Config{})
	const clients, rounds = 8, 10
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range rounds {
				if err := transaction.Run(t.Context(), increment(m, "u"),
					transaction.Policy{Tries: 100}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	closeDB()

	told := new(events)
	m, closeDB = open(session.Config{OnEnd: told.add})
	defer closeDB()
	do(t, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, "u"))
		must(t, err)
		if n, _, err := session.Get[int](s, "n"); n != clients*rounds || err != nil || s.IsNew() {
			t.Errorf("after opening again: got %d, %v, new: %t, want %d", n, err, s.IsNew(),
				clients*rounds)
		}
	})
	clock.pass(time.Hour)
	if n, err := m.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
	if got := told.take(); len(got) != 1 {
		t.Errorf("events: got %v", got)
	}
	do(t, func(ctx context.Context) {
		if got, err := m.Records(ctx); err != nil || !cmp.Equal(got, []string(nil)) {
			t.Errorf("left over: %v, %v", got, err)
		}
	})
}
