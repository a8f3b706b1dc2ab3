package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// terminal returns a terminal: the end that shows it, and that of the programs in it.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	var unlock, number int32
	for request, value := range map[uintptr]*int32{
		syscall.TIOCSPTLCK: &unlock,
		syscall.TIOCGPTN:   &number,
	} {
		if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request,
			uintptr(unsafe.Pointer(value))); err != 0 {
			t.Fatal(err)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// SIGHUP reloads also in a terminal. But when that is closed, the server ends, as any program in it
// does.
func TestClosedTerminalIsTheEnd(t *testing.T) {
	t.Parallel()
	master, slave := terminal(t)
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
	master.Close()
	s.ended()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "addr")); !os.IsNotExist(err) {
		t.Errorf("the address file is still there (%v)", err)
	}
}
