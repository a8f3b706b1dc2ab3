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
	stop := screen.Start(slog.New(slog.NewTextHandler(screen, nil)), "opening the databases")
	stop()
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
	stop := screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "reading \x1b[2J")
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
	stop()
	stop()
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
		stop := screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "recovering")
		time.Sleep(14 * time.Second)
		stop()
		if log.Len() > 0 {
			t.Errorf("short work: got %s", log.String())
		}
		stop = screen.Start(slog.New(slog.NewTextHandler(&log, nil)), "recovering")
		time.Sleep(34 * time.Second)
		stop()
		time.Sleep(time.Minute)
		got := regexp.MustCompile(`time=\S+ `).ReplaceAllString(log.String(), "")
		want := "level=INFO msg=\"still working\" work=recovering elapsed=15s\n" +
			"level=INFO msg=\"still working\" work=recovering elapsed=30s\n"
		if got != want || out.Len() > 0 {
			t.Errorf("got %s%s, want %s", got, out.String(), want)
		}
	})
}

// A dumb terminal, on which nothing can be rewritten, is as any other stream.
func TestDumbTerminal(t *testing.T) { //nolint:paralleltest // it sets the environment
	t.Setenv("TERM", "dumb")
	window, tty := ptytest.Open(t)
	screen := progress.NewScreen(tty)
	screen.SetTimes(time.Millisecond, time.Millisecond, time.Millisecond)
	stop := screen.Start(slog.New(slog.NewTextHandler(screen, nil)), "recovering")
	shown := window.Wait(t, "still working")
	stop()
	if strings.Contains(shown, "\x1b") {
		t.Errorf("got %q", shown)
	}
}
