package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/session"
)

func TestClock(t *testing.T) {
	t.Parallel()
	// Every case begins with a session that was used at 10,000 s; timeout is 20 minutes.
	tests := []struct {
		name  string
		moves func(f *fixture, use func())
		alive bool
	}{
		{"time passes, not enough", func(f *fixture, _ func()) { f.clock.pass(20 * time.Minute) }, true},
		{"time passes", func(f *fixture, _ func()) { f.clock.pass(20*time.Minute + 20*time.Second) }, false},
		{"the clock jumps ahead", func(f *fixture, _ func()) { f.clock.jump(24 * time.Hour) }, true},
		{"the clock jumps ahead twice", func(f *fixture, _ func()) {
			f.clock.jump(24 * time.Hour)
			f.Sweep(context.Background())
			f.clock.pass(15 * time.Minute)
			f.clock.jump(24 * time.Hour)
		}, true},
		{"the clock jumps ahead, and the time is up all the same", func(f *fixture, _ func()) {
			f.clock.jump(24 * time.Hour)
			f.clock.pass(21 * time.Minute)
		}, false},
		{"the clock jumps ahead when the time was nearly up, then it is", func(f *fixture, _ func()) {
			f.clock.pass(15 * time.Minute)
			f.Sweep(context.Background())
			f.clock.jump(24 * time.Hour)
			f.Sweep(context.Background())
			f.clock.pass(6 * time.Minute)
		}, false},
		{"the clock jumps ahead and the session is used", func(f *fixture, use func()) {
			f.clock.jump(24 * time.Hour)
			use()
			f.clock.pass(19 * time.Minute)
		}, true},
		{"the clock jumps ahead, time passes, and again some", func(f *fixture, use func()) {
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
		{"the clock jumps back, the session is used, and the time is up", func(f *fixture, use func()) {
			f.clock.jump(-2 * time.Hour)
			use()
			f.clock.pass(21 * time.Minute)
		}, false},
		{"the clock jumps back a little, and the session is in use", func(f *fixture, use func()) {
			f.clock.jump(-10 * time.Minute)
			for range 10 {
				f.clock.pass(10 * time.Minute)
				use()
			}
		}, true},
		{"the clock strays slowly", func(f *fixture, use func()) {
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
				if strings.Contains(tt.name, "jumps") != strings.Contains(log.String(), "the clock jumped") {
					t.Errorf("log: %q", log.String())
				}
			})
		}
	}
}

// A session that a wrong clock dated far ahead must not live until then.
func TestDatedAhead(t *testing.T) {
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
