package site_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/internal/command/site"
)

// A change is told when it is complete: a file that is being written, or that an editor is about to
// replace, is waited for.
func TestSourcesChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		name, other := filepath.Join(dir, "site.ini"), filepath.Join(dir, "other.ini")
		modified := time.Unix(1e9, 0)
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			// only what the test says is to tell versions apart
			if err := os.Chtimes(name, modified, modified); err != nil {
				t.Fatal(err)
			}
		}
		write("one")
		readFile, changed := site.NewSources()
		for range 2 {
			if text, err := readFile(name); err != nil || string(text) != "one" {
				t.Fatalf("got %q, %v", text, err)
			}
			write("two") // a load sees what it has seen before
		}
		write("one")
		if _, err := readFile(other); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		const interval = time.Second
		for _, tt := range []struct {
			name   string
			before func()
			during func() // in another goroutine
			want   bool
			after  time.Duration
		}{
			{"nothing", func() {}, nil, false, 0},
			{"the same again", func() { write("one") }, nil, false, 0},
			{
				"another content of the same length", func() { write("two") }, nil, true,
				interval / 4,
			},
			{"touched", func() { modified = modified.Add(1); write("one"); modified = modified.Add(-1) }, nil, true, interval / 4},
			{"written in pieces", func() { write("t") }, func() {
				for _, text := range []string{"tw", "two", "t", "tw", "two"} {
					time.Sleep(190 * time.Millisecond)
					write(text)
				}
			}, true, 5 * interval / 4},
			{"taken back", func() { write("") }, func() {
				time.Sleep(100 * time.Millisecond)
				write("one")
			}, false, interval / 4},
			{"gone for a moment", func() { _ = os.Remove(name) }, func() {
				time.Sleep(900 * time.Millisecond)
				write("one")
			}, false, interval},
			{"gone for good", func() { _ = os.Remove(name) }, nil, true, interval},
			{
				"one that was missing", func() { _ = os.WriteFile(other, nil, 0o644) }, nil, true,
				interval / 4,
			},
		} {
			write("one")
			tt.before()
			if tt.during != nil {
				go tt.during()
			}
			begin := time.Now()
			if got := changed(t.Context(), interval); got != tt.want {
				t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
			}
			if got := time.Since(begin); got != tt.after {
				t.Errorf("%s: got it after %v, want %v", tt.name, got, tt.after)
			}
			time.Sleep(time.Minute)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if changed(ctx, interval) {
			t.Error("it goes on when it is to end")
		}
	})
}
