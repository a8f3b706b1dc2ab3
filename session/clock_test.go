package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
)

func TestClock(t *testing.T) {
	t.Parallel()
	// Every case begins with a session that was used at 10,000 s; timeout is 20 minutes.
	tests := []struct {
		name  string
		moves func(f *fixture, use func())
		alive bool
	}{
		{
			"less than the timeout passes", func(f *fixture, _ func()) { f.clock.pass(20 * time.Minute) },
			true,
		},
		{
			"the timeout passes",
			func(f *fixture, _ func()) { f.clock.pass(20*time.Minute + 20*time.Second) }, false,
		},
		{
			"the clock jumps ahead", func(f *fixture, _ func()) { f.clock.jump(24 * time.Hour) },
			true,
		},
		{"the clock jumps ahead twice", func(f *fixture, _ func()) {
			f.clock.jump(24 * time.Hour)
			f.Sweep(context.Background())
			f.clock.pass(15 * time.Minute)
			f.clock.jump(24 * time.Hour)
		}, true},
		{"the clock jumps ahead, and the timeout passes", func(f *fixture, _ func()) {
			f.clock.jump(24 * time.Hour)
			f.clock.pass(21 * time.Minute)
		}, false},
		{
			"the clock jumps ahead just before the timeout passes",
			func(f *fixture, _ func()) {
				f.clock.pass(15 * time.Minute)
				f.Sweep(context.Background())
				f.clock.jump(24 * time.Hour)
				f.Sweep(context.Background())
				f.clock.pass(6 * time.Minute)
			}, false,
		},
		{"the clock jumps ahead and the session is used", func(f *fixture, use func()) {
			f.clock.jump(24 * time.Hour)
			use()
			f.clock.pass(19 * time.Minute)
		}, true},
		{"the clock jumps ahead, and the timeout passes in two parts", func(f *fixture, use func()) {
			f.clock.jump(24 * time.Hour)
			use()
			f.clock.pass(19 * time.Minute)
			use()
			f.clock.pass(19 * time.Minute)
		}, true},
		{"the clock jumps ahead and back again", func(f *fixture, use func()) {
			f.clock.jump(2 * time.Hour)
			use()
			f.clock.jump(-2 * time.Hour)
			f.clock.pass(19 * time.Minute)
		}, true},
		{"the clock jumps back", func(f *fixture, _ func()) { f.clock.jump(-2 * time.Hour) }, true},
		{"the clock jumps back and is corrected", func(f *fixture, use func()) {
			f.clock.jump(-2 * time.Hour)
			use()
			f.clock.pass(10 * time.Minute)
			f.clock.jump(2 * time.Hour)
		}, true},
		{
			"the clock jumps back, the session is used, and the timeout passes",
			func(f *fixture, use func()) {
				f.clock.jump(-2 * time.Hour)
				use()
				f.clock.pass(21 * time.Minute)
			}, false,
		},
		{"the clock jumps back a little, and the session is in use", func(f *fixture, use func()) {
			f.clock.jump(-10 * time.Minute)
			for range 10 {
				f.clock.pass(10 * time.Minute)
				use()
			}
		}, true},
		{"the clock drifts slowly", func(f *fixture, use func()) {
			for range 100 {
				f.clock.pass(time.Minute)
				f.clock.jump(30 * time.Millisecond)
				use()
			}
		}, true},
		{"the clock jumps to before 1970", func(f *fixture, use func()) {
			f.clock.jump(-20_000 * time.Second)
			use()
			f.clock.pass(10 * time.Minute)
		}, true},
	}
	for _, tt := range tests {
		for _, sweep := range []bool{false, true} {
			name := tt.name
			if sweep {
				name += ", swept"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var log bytes.Buffer
				f := newFixture(t, session.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				f.set(t, "u", map[string]any{"n": 1})
				tt.moves(f, func() { f.stored(t, "u") })
				if sweep {
					n, err := f.Sweep(t.Context())
					if err != nil || (n == 0) != tt.alive {
						t.Errorf("Sweep: got %d, %v, want it alive: %t", n, err, tt.alive)
					}
				}
				do(t, func(ctx context.Context) {
					if got, err := f.Has(session.WithID(ctx, "u")); err != nil || got != tt.alive {
						t.Errorf("got %t, %v, want it alive: %t", got, err, tt.alive)
					}
				})
				if strings.Contains(tt.name, "jumps") != strings.Contains(log.String(),
					"the clock jumped") {
					t.Errorf("log: %q", log.String())
				}
			})
		}
	}
}

// A session that a wrong clock dated far ahead expires one timeout after a sweep, not at that date.
func TestSessionDatedAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	wrong := f.another(t, session.Config{})
	wrong.SetClock(func() (time.Time, time.Duration) { return time.Unix(10*start, 0), 0 })
	for _, id := range []string{"unused", "used"} {
		do(t, func(ctx context.Context) {
			s, err := wrong.Get(session.WithID(ctx, id))
			must(t, err)
			must(t, s.Set("n", 1))
		})
	}
	do(t, func(ctx context.Context) {
		if got := f.get(ctx, t, "used").LastUsed(); !got.Equal(time.Unix(start, 0)) {
			t.Errorf("LastUsed: got %v", got)
		}
	})
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
	f.clock.pass(20*time.Minute + 20*time.Second)
	if n, err := f.Sweep(t.Context()); n != 2 || err != nil {
		t.Errorf("Sweep: got %d, %v, want both", n, err)
	}
	if got := f.records(t); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

// With the database's clock, the clocks of the machines don't matter: neither a sweep nor a read of
// a session ends or redates any session.
func TestWrongClocksOnPostgres(t *testing.T) {
	t.Parallel()
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(t.Context(), pgtest.Database(t))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	machine := func(wrong time.Duration) *session.Manager {
		m, err := session.NewManager(db, session.Config{})
		must(t, err)
		begin := time.Now()
		m.SetMachineClock(func() (time.Time, time.Duration) {
			return time.Now().Add(wrong),
				time.Since(begin)
		})
		return m
	}
	right := machine(0)
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		do(t, func(ctx context.Context) {
			s, err := right.Get(session.WithID(ctx, id))
			must(t, err)
			must(t, s.Set("n", 1))
		})
	}
	for _, wrong := range []time.Duration{
		21 * time.Minute, -21 * time.Minute, 24 * time.Hour,
		-24 * time.Hour,
	} {
		m := machine(wrong)
		if n, err := m.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("%v: Sweep: got %d, %v", wrong, n, err)
		}
		m = machine(wrong)
		for _, id := range ids {
			do(t, func(ctx context.Context) {
				for _, m := range []*session.Manager{m, right} {
					s, err := m.Lookup(session.WithID(ctx, id))
					must(t, err)
					if s == nil || time.Since(s.LastUsed()).Abs() > time.Minute {
						t.Errorf("%v: got %v", wrong, s)
					}
				}
			})
		}
	}
	if n, err := right.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
}

// A jump of the clock before a reload makes no session expire after the reload.
func TestClockJumpBeforeReload(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.jump(24 * time.Hour)
	f.stored(t, "another") // detects the jump
	after := f.another(t, session.Config{})
	after.ShareClock(f.Manager)
	if n, err := after.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: got %d, %v", n, err)
	}
	do(t, func(ctx context.Context) {
		if ok, err := after.Has(session.WithID(ctx, "u")); !ok || err != nil {
			t.Errorf("Has: got %t, %v", ok, err)
		}
	})
	// Managers of one database share a clock without ShareClock.
	one, err := session.NewManager(f.db, session.Config{})
	must(t, err)
	two, err := session.NewManager(f.db, session.Config{})
	must(t, err)
	if !one.SharesClock(two) {
		t.Error("two managers of one database have two clocks")
	}
}

// A process that starts with a wrong clock does not end or redate all sessions.
func TestStartWithAWrongClock(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (f *fixture, log *bytes.Buffer, sweep func(want int)) {
		t.Helper()
		log = &bytes.Buffer{}
		f = newFixture(t, session.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		for _, id := range []string{"a", "b", "c"} {
			f.set(t, id, map[string]any{"n": 1})
		}
		return f, log, func(want int) {
			t.Helper()
			if n, err := f.Sweep(t.Context()); n != want || err != nil {
				t.Errorf("Sweep: got %d, %v, want %d", n, err, want)
			}
		}
	}
	restart := func(f *fixture, wrong time.Duration) {
		f.clock.jump(wrong) // while no process runs
		f.Restart()
		f.SetClock(f.clock.read)
	}
	t.Run("ahead, then corrected", func(t *testing.T) {
		t.Parallel()
		f, log, sweep := start(t)
		restart(f, 21*time.Minute)
		sweep(0)
		f.clock.pass(time.Minute)
		f.clock.jump(-21 * time.Minute)
		sweep(0)
		for _, id := range []string{"a", "b", "c"} {
			f.wantStored(t, id, map[string]any{"n": int64(1)})
		}
		if !strings.Contains(log.String(),
			"all sessions have expired by the clock, which may be wrong") {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("right, after a long time", func(t *testing.T) {
		t.Parallel()
		f, _, sweep := start(t)
		restart(f, 24*time.Hour)
		sweep(0)
		f.clock.pass(19 * time.Minute)
		sweep(0)
		f.clock.pass(time.Minute)
		sweep(3)
	})
	t.Run("right, and a session is used", func(t *testing.T) {
		t.Parallel()
		f, _, sweep := start(t)
		restart(f, 24*time.Hour)
		f.set(t, "d", map[string]any{"n": 1})
		sweep(3)
	})
	t.Run("behind, then corrected", func(t *testing.T) {
		t.Parallel()
		f, log, sweep := start(t)
		before := f.records(t)
		restart(f, -24*time.Hour)
		sweep(0)
		if diff := cmp.Diff(before, f.records(t)); diff != "" {
			t.Errorf("records: %s", diff)
		}
		restart(f, 24*time.Hour)
		sweep(0)
		for _, id := range []string{"a", "b", "c"} {
			f.wantStored(t, id, map[string]any{"n": int64(1)})
		}
		if !strings.Contains(log.String(),
			"most sessions are dated more than a timeout ahead of the clock") {
			t.Errorf("log: %s", log)
		}
	})
}
