package progress_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/internal/command/progress"
	"github.com/pasteline/pasteline/internal/command/terminal"
	"github.com/pasteline/pasteline/internal/testing/ptytest"
)

// Short work shows nothing.
func ExampleScreen_Start() {
	screen := progress.NewScreen(os.Stdout)
	task := screen.Start(slog.New(slog.NewTextHandler(screen, nil)), "opening the databases")
	task.Stop()
	fmt.Fprintln(screen, "serving")
	// Output: serving
}

// On a terminal the line is rewritten in place, cleared for any other output, and cleared at the
// end; the log gets nothing.
func TestTerminal(t *testing.T) { //nolint:paralleltest // it sets the environment
	t.Setenv("TERM", "xterm")
	window, tty := ptytest.Open(t)
	screen := progress.NewScreen(tty)
	screen.SetTimes(time.Millisecond, time.Millisecond, time.Hour)
	if !terminal.Is(screen) {
		t.Error("a screen on a terminal is none")
	}
	var log bytes.Buffer
	task := screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "reading \x1b[2J")
	const line = "\r\x1b[Kreading \\x1b[2J … 0s"
	window.Wait(t, line+line)
	fmt.Fprintln(screen, "a warning")
	before := window.Wait(t, "a warning\r\n")
	if !strings.Contains(before, line+"\r\x1b[Ka warning\r\n") {
		t.Errorf("got %q, want that the line is cleared for other output", before)
	}
	for window.String() == before {
		<-time.After(time.Millisecond)
	}
	task.Stop()
	task.Stop()
	fmt.Fprintln(screen, "done")
	shown := window.Wait(t, "done\r\n")
	if !regexp.MustCompile(`… 0s\r\x1b\[Kdone\r\n$`).MatchString(shown) || log.Len() > 0 {
		t.Errorf("got %q, log %s", shown, log.String())
	}
}

// Elsewhere the log gets a line every fifteen seconds, and the stream nothing.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out, log bytes.Buffer
		screen := progress.NewScreen(&out)
		task := screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "recovering")
		time.Sleep(14 * time.Second)
		task.Stop()
		if log.Len() > 0 {
			t.Errorf("short work: got %s", log.String())
		}
		task = screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "recovering")
		time.Sleep(34 * time.Second)
		task.Stop()
		time.Sleep(time.Minute)
		got := regexp.MustCompile(`time=\S+ `).ReplaceAllString(log.String(), "")
		want := "level=INFO msg=\"still working\" work=recovering elapsed=15s\n" +
			"level=INFO msg=\"still working\" work=recovering elapsed=30s\n"
		if got != want || out.Len() > 0 {
			t.Errorf("got %s%s, want %s", got, out.String(), want)
		}
	})
}

// If the number of parts is known, the part that is done is shown.
func TestCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		task := progress.NewScreen(&bytes.Buffer{}).Start(slog.New(slog.NewTextHandler(&log, nil)), "settling")
		task.Count(3, 40)
		time.Sleep(16 * time.Second)
		task.Stop()
		if want := `done="3 of 40, 7 %"`; !strings.Contains(log.String(), want) {
			t.Errorf("got %s, want %s", log.String(), want)
		}
	})
}

// The same on a terminal.
func TestCountOnTerminal(t *testing.T) { //nolint:paralleltest // it sets the environment
	t.Setenv("TERM", "xterm")
	window, tty := ptytest.Open(t)
	screen := progress.NewScreen(tty)
	screen.SetTimes(time.Millisecond, time.Millisecond, time.Hour)
	task := screen.Start(slog.New(slog.DiscardHandler), "settling")
	task.Count(20, 40)
	window.Wait(t, "settling … 0s, 20 of 40, 50 %")
	task.Stop()
}

// A dumb terminal, on which nothing can be rewritten, is as any other stream.
func TestDumbTerminal(t *testing.T) { //nolint:paralleltest // it sets the environment
	t.Setenv("TERM", "dumb")
	window, tty := ptytest.Open(t)
	screen := progress.NewScreen(tty)
	screen.SetTimes(time.Millisecond, time.Millisecond, time.Millisecond)
	task := screen.Start(slog.New(slog.NewTextHandler(screen, nil)), "recovering")
	shown := window.Wait(t, "still working")
	task.Stop()
	if strings.Contains(shown, "\x1b") {
		t.Errorf("got %q", shown)
	}
}
