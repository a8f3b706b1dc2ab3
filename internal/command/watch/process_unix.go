//go:build unix

package watch

import (
	"os"
	"os/exec"
	"syscall"
)

// detach gives the program a process group of its own, so that an interrupt at the terminal reaches
// it once, by end.
func detach(run *exec.Cmd) { run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// end asks the program to end.
func end(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// askToReload asks the program to reload its .ini file.
func askToReload(p *os.Process) { _ = p.Signal(syscall.SIGHUP) }
