package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/ptytest"
)

// SIGHUP reloads also in a terminal. But when that is closed, the server ends, as any program in it
// does.
func TestClosedTerminalIsTheEnd(t *testing.T) {
	t.Parallel()
	screen, slave := ptytest.Open(t)
	s := newSite(t, "serve-test", marked(t, "one"))
	s.stop()
	s.prepare = func(cmd *exec.Cmd) {
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
	s.start()
	slave.Close()
	s.rewrite(marked(t, "two"))
	s.signal(syscall.SIGHUP)
	s.waitForLog("msg=reloaded", 1)
	if got := s.mark(); got != "two" {
		t.Errorf("got %q, want two", got)
	}
	screen.Master.Close()
	s.ended()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "addr")); !os.IsNotExist(err) {
		t.Errorf("the address file is still there (%v)", err)
	}
}
