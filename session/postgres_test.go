package session_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
)

// Three programs sweep one PostgreSQL database: only one sweeps at a time, and each session ends
// once.
func TestSweepersOnPostgres(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	clock, events := newFakeClock(), &events{}
	var dbs []*storage.DB
	var managers []*session.Manager
	for range 3 {
		opener := storage.NewOpener() // one for each program
		postgres.Register(opener)
		db, err := opener.Open(t.Context(), uri)
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		m, err := session.NewManager(db, session.Config{OnEnd: events.add})
		must(t, err)
		m.SetCommonClock(clock.read)
		dbs, managers = append(dbs, db), append(managers, m)
	}
	const sessions = 250 // more than a batch
	var want []string
	do(t, func(ctx context.Context) {
		for i := range sessions {
			id := fmt.Sprint("s", i)
			s, err := managers[0].Get(session.WithID(ctx, id))
			must(t, err)
			must(t, s.Set("n", i))
			want = append(want, told("expired", id)...)
		}
	})
	clock.pass(time.Hour)

	unlock, ok, err := dbs[0].TryLock(t.Context(), managers[0].SweepLock())
	if !ok || err != nil {
		t.Fatalf("TryLock: got %t, %v", ok, err)
	}
	if n, err := managers[1].SweepAlone(t.Context()); n != 0 || err != nil {
		t.Errorf("while another sweeps: got %d, %v, want 0", n, err)
	}
	unlock()

	var all sync.WaitGroup
	swept := make([]int, len(managers))
	for i, m := range managers {
		all.Go(func() {
			for range 3 {
				n, err := m.SweepAlone(t.Context())
				if err != nil {
					t.Error(err)
				}
				swept[i] += n
			}
		})
	}
	all.Wait()
	if n := swept[0] + swept[1] + swept[2]; n != sessions {
		t.Errorf("the sweeps ended %v, want %d in total", swept, sessions)
	}
	slices.Sort(want)
	if got := events.take(); !slices.Equal(got, want) {
		t.Errorf("got %d events, want %d: each session once", len(got), len(want))
	}
}
