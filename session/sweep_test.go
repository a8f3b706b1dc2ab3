package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	const old, young = 450, 30 // more than two batches
	for i := range old {
		f.set(t, fmt.Sprint("old", i), map[string]any{"n": i})
	}
	f.clock.pass(15 * time.Minute)
	for i := range young {
		f.set(t, fmt.Sprint("young", i), map[string]any{"n": i})
	}
	f.stored(t, "old7") // this use keeps the session alive
	f.events.take()

	f.clock.pass(5 * time.Minute)
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("Sweep before anything has expired: got %d, %v", n, err)
	}
	f.clock.pass(20 * time.Second)
	if n, err := f.Sweep(t.Context()); n != old-1 || err != nil {
		t.Fatalf("Sweep: got %d, %v, want %d", n, err, old-1)
	}
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("Sweep again: got %d, %v", n, err)
	}
	var want []string
	for i := range old {
		if i != 7 {
			want = append(want, "expired", fmt.Sprint("old", i))
		}
	}
	if diff := cmp.Diff(told(want...), f.events.take()); diff != "" {
		t.Errorf("events (-want +got): %s", diff)
	}
	if got := f.stored(t, "old7"); !cmp.Equal(got, map[string]any{"n": int64(7)}) {
		t.Errorf("the one in use: got %v", got)
	}
	f.clock.pass(time.Hour)
	if n, err := f.Sweep(t.Context()); n != young+1 || err != nil {
		t.Errorf("Sweep: got %d, %v, want %d", n, err, young+1)
	}
	if got := f.records(t); len(got) != 0 {
		t.Errorf("left over: %d records", len(got))
	}
}

// An expired session can't be read, swept or not, and a new session of the browser ends it.
func TestExpiredIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"user": "ann"})
	f.events.take()
	f.clock.pass(time.Hour)
	do(t, func(ctx context.Context) {
		if ok, err := f.Has(session.WithID(ctx, "u")); ok || err != nil {
			t.Errorf("Has: got %t, %v", ok, err)
		}
		s := f.get(ctx, t, "u")
		if ok, err := s.Has("user"); !s.IsNew() || ok || err != nil {
			t.Errorf("got IsNew %t, and the old user: %t, %v", s.IsNew(), ok, err)
		}
	})
	if got := f.events.take(); got != nil {
		t.Errorf("events of a transaction that only read: %v", got)
	}
	do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "u").Set("n", 1)) })
	if got := f.events.take(); !cmp.Equal(got, told("begun", "u", "expired", "u")) {
		t.Errorf("events: got %v", got)
	}
	if got := f.stored(t, "u"); !cmp.Equal(got, map[string]any{"n": int64(1)}) {
		t.Errorf("stored: got %v", got)
	}
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: got %d, %v, want nothing to do", n, err)
	}

	// The event says expired, too, if the expired session is invalidated or renewed.
	f.clock.pass(time.Hour)
	do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "u").Invalidate()) })
	if got := f.events.take(); !cmp.Equal(got, told("expired", "u")) {
		t.Errorf("events: got %v", got)
	}
	f.set(t, "from", map[string]any{"n": 1})
	f.set(t, "to", map[string]any{"n": 2})
	f.events.take()
	f.clock.pass(time.Hour)
	do(t, func(ctx context.Context) { must(t, f.renew(ctx, "from", "to")) })
	if got := f.events.take(); !cmp.Equal(got, told("expired", "from")) {
		t.Errorf("events: got %v", got)
	}
	f.clock.pass(time.Hour) // until the grace of the old id is over
	if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep: got %d, %v, want the other", n, err)
	}
	if got := f.records(t); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

// A request and a sweep conflict if the request used the session and the sweep found it expired:
// only one can commit.
func TestSweepAgainstUse(t *testing.T) {
	t.Parallel()
	for _, sweepFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("sweepFirst=%t", sweepFirst), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "u", map[string]any{"n": 1})
			f.events.take()
			f.clock.pass(20 * time.Minute)
			ctx, commit := begin(t)
			must(t, f.get(ctx, t, "u").Set("n", 2)) // just before the session expires
			f.clock.pass(time.Minute)
			if !sweepFirst {
				must(t, commit())
			}
			n, err := f.Sweep(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if sweepFirst {
				wantConflict(t, commit())
				if n != 1 || f.stored(t, "u") != nil {
					t.Errorf("ended %d, stored %v", n, f.stored(t, "u"))
				}
				return
			}
			if n != 0 || !cmp.Equal(f.stored(t, "u"), map[string]any{"n": int64(2)}) {
				t.Errorf("ended %d, stored %v", n, f.stored(t, "u"))
			}
		})
	}
}

// Several processes sweep while browsers use their sessions: every session ends once or stays
// complete.
func TestSweepersRace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	const sessions = 300
	for i := range sessions {
		f.set(t, fmt.Sprint("s", i), map[string]any{"n": i})
	}
	f.events.take()
	f.clock.pass(time.Hour)
	var mu sync.Mutex
	swept := 0
	var all sync.WaitGroup
	for range 3 {
		m, err := session.NewManager(f.db, session.Config{
			OnBegin: f.events.add,
			OnEnd:   f.events.add,
		})
		must(t, err)
		m.SetClock(f.clock.read)
		all.Go(func() {
			n, err := m.Sweep(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			swept += n
		})
	}
	all.Go(func() {
		for i := 0; i < sessions; i += 10 {
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				s, err := f.Get(session.WithID(ctx, fmt.Sprint("s", i)))
				if err != nil {
					return err
				}
				return s.Set("back", true)
			}, transaction.Policy{Tries: 100})
			if err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if n, err := f.Sweep(t.Context()); err != nil {
		t.Error(err)
	} else {
		swept += n
	}
	begun, expired := 0, 0
	for _, event := range f.events.take() {
		if strings.HasPrefix(event, "begun") {
			begun++
		} else {
			expired++
		}
	}
	if begun != sessions/10 || expired != sessions {
		t.Errorf("got %d begun and %d expired, want %d and %d", begun, expired,
			sessions/10, sessions)
	}
	for i := range sessions {
		var want map[string]any
		if i%10 == 0 {
			want = map[string]any{"back": true}
		}
		if got := f.stored(t, fmt.Sprint("s", i)); !cmp.Equal(got, want) {
			t.Errorf("session %d: got %v, want %v", i, got, want)
		}
	}
	t.Logf("the sweeps ended %d, the returning browsers %d", swept, sessions-swept)
}

// The sweep keeps records that it can't read, and deletes index entries without a session.
func TestSweepOfDamagedRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	for _, id := range []string{"good", "newer", "orphan"} {
		f.set(t, id, map[string]any{"n": 1})
	}
	do(t, func(ctx context.Context) {
		must(t, f.PutRecord(ctx, "newer", "m", []byte{99}))
		must(t, f.PutRecord(ctx, "orphan", "m", []byte{99}))
	})
	do(t, func(ctx context.Context) {
		tx, err := f.db.Tx(ctx)
		must(t, err)
		must(t, tx.Bucket("session").Delete(append(session.ItemKey("orphan", "")[:16], 'm')))
		must(t, tx.Bucket("session.used").Put([]byte{0, 1}, nil))
	})
	f.clock.pass(20 * time.Minute)
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep before they expire: got %d, %v", n, err)
	}
	f.clock.pass(20 * time.Second)
	if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep: got %d, %v, want the readable one", n, err)
	}
	if got := f.records(t); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

// A session that is written to all the time does not keep the sweep from ending the others.
func TestSweepPassesBusySession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	const others = 20
	for i := range others {
		f.set(t, fmt.Sprint("s", i), map[string]any{"n": i})
	}
	f.set(t, "busy", map[string]any{"n": 1})
	f.clock.pass(time.Hour)
	m := f.another(t, session.Config{})
	// Another process, which does not share the key queue of this one.
	elsewhere, err := session.NewManager(storage.New(f.db.Name(), f.db.Engine()), session.Config{})
	must(t, err)
	writes := 0
	// the sweep reads the clock after it has read a session
	m.SetClock(func() (time.Time, time.Duration) {
		writes++
		do(t, func(ctx context.Context) {
			must(t, elsewhere.PutRecord(ctx, "busy", fmt.Sprint("i", writes), []byte{0, 'i', 2}))
		})
		return f.clock.read()
	})
	if n, err := m.Sweep(t.Context()); n != others || err != nil {
		t.Errorf("Sweep: got %d, %v, want %d", n, err, others)
	}
	if writes < others {
		t.Errorf("the busy session was written to only %d times", writes)
	}
	if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep without other transactions: got %d, %v", n, err)
	}
}

func TestSweepFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := f.Sweep(ctx); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: got %d, %v", n, err)
	}
}

func TestSweeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New("sweeper")
		ended := make(chan session.Info, 1)
		m, err := session.NewManager(db,
			session.Config{OnEnd: func(_ context.Context, info session.Info) { ended <- info }})
		must(t, err)
		sweeper := m.StartSweeper(t.Context())
		do(t, func(ctx context.Context) {
			s, err := m.Get(session.WithID(ctx, "u"))
			must(t, err)
			must(t, s.Set("n", 1))
		})
		start := time.Now()
		info := <-ended
		if got := time.Since(start); got < 20*time.Minute || got > 22*time.Minute ||
			info.Reason != session.Expired {
			t.Errorf("ended after %v as %v", got, info.Reason)
		}
		for range 2 {
			if err := sweeper.Close(); err != nil {
				t.Error(err)
			}
		}
		must(t, db.Close())
	})
}

// A sweep that takes long logs how many sessions it has ended.
func TestLongSweepIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New("long sweep")
		var log bytes.Buffer
		m, err := session.NewManager(db, session.Config{
			OnEnd:  func(context.Context, session.Info) { time.Sleep(time.Second) },
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		must(t, err)
		for i := range 30 {
			do(t, func(ctx context.Context) {
				s, err := m.Get(session.WithID(ctx, fmt.Sprint(i)))
				must(t, err)
				must(t, s.Set("n", 1))
			})
		}
		time.Sleep(19 * time.Minute)
		do(t, func(ctx context.Context) { // so that not all have expired, as after a wrong clock
			s, err := m.Get(session.WithID(ctx, "young"))
			must(t, err)
			must(t, s.Set("n", 1))
		})
		time.Sleep(3 * time.Minute)
		if n, err := m.Sweep(t.Context()); n != 30 || err != nil {
			t.Fatalf("Sweep: got %d, %v, want 30", n, err)
		}
		const want = `msg="still sweeping expired sessions" ended=30 elapsed=30s`
		if strings.Count(log.String(), "still sweeping") != 1 ||
			!strings.Contains(log.String(), want) {
			t.Errorf("want one record with %s, got:\n%s", want, log.String())
		}
		must(t, db.Close())
	})
}

// A sweeper skips its sweep while another one holds the lock, and sweeps when the lock is free.
func TestSweeperSkipsLockedSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New("sweeper")
		ended := make(chan session.Info, 1)
		m, err := session.NewManager(db,
			session.Config{OnEnd: func(_ context.Context, info session.Info) { ended <- info }})
		must(t, err)
		unlock, ok, err := db.TryLock(t.Context(), m.SweepLock())
		if !ok || err != nil {
			t.Fatalf("TryLock: got %t, %v", ok, err)
		}
		sweeper := m.StartSweeper(t.Context())
		do(t, func(ctx context.Context) {
			s, err := m.Get(session.WithID(ctx, "u"))
			must(t, err)
			must(t, s.Set("n", 1))
		})
		select {
		case info := <-ended:
			t.Errorf("%v, though another was sweeping", info)
		case <-time.After(time.Hour):
		}
		unlock()
		start := time.Now()
		<-ended
		if got := time.Since(start); got > 2*time.Minute {
			t.Errorf("ended %v after the other was done", got)
		}
		must(t, sweeper.Close())
		if unlock, ok, err = db.TryLock(t.Context(), m.SweepLock()); !ok || err != nil {
			t.Errorf("the lock after a sweep: got %t, %v", ok, err)
		}
		unlock()
		must(t, db.Close())
	})
}

func TestNextBatch(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		size          int
		fastest, took time.Duration
		want          int
	}{
		{10, 0, 0, 20},              // at most doubled
		{10, 0, time.Hour, 20},      // the first one: the size may not be the reason
		{100, ms, 2 * ms, 200},      // the upper limit
		{200, 5 * ms, 5 * ms, 200},  //
		{100, 5 * ms, 4 * ms, 200},  // a faster disk than it seemed
		{100, ms, 3 * ms, 100},      // the target duration: unchanged
		{100, ms, 5 * ms, 50},       //
		{100, ms, time.Hour, 10},    // the lower limit
		{3, ms, time.Second, 10},    // grows to the lower limit after conflicts
		{40, ms, 3*ms + 50_000, 39}, //
		{10, 20 * ms, 25 * ms, 20},  // a slow disk does not make batches small
		{160, 20 * ms, 60 * ms, 80}, //
	} {
		if got := session.NextBatch(tt.size, tt.fastest, tt.took); got != tt.want {
			t.Errorf("%d in %v, the fastest in %v: got %d, want %d", tt.size, tt.took, tt.fastest, got,
				tt.want)
		}
	}
}
