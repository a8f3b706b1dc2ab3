package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/ptytest"
)

// A server on a terminal logs in colours there, unless NO_COLOR is set or the file says text; a
// watched server would too, since it has the same terminal.
func TestLogOnTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, variable, logging, want string }{
		{"colours", "NO_COLOR=", "", "\x1b[32mINFO \x1b[0m shutting down"},
		{"no colours", "NO_COLOR=1", "", "INFO  shutting down"},
		{"text", "NO_COLOR=", "[logging]\nformat = text\n", "level=INFO msg=\"shutting down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			screen, terminal := ptytest.Open(t)
			s := makeSite(t, "serve", tutorial(t)+tt.logging)
			s.prepare = func(cmd *exec.Cmd) {
				cmd.Stderr = terminal
				cmd.Env = append(os.Environ(), "TERM=xterm", tt.variable)
			}
			s.start()
			s.stop()
			if shown := screen.Wait(t, "shutting down"); !strings.Contains(shown, tt.want) {
				t.Errorf("got %q, want %q", shown, tt.want)
			}
		})
	}
}
