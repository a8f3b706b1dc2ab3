//go:build unix

package testserver

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"
)

const supported = true

// attributes puts a process into a process group, a new one if group is 0, and sets its account.
func attributes(group int, as *account) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pgid: group}
	if as != nil {
		a.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return a
}

// process is a process in the list of the system.
type process struct {
	pid, parent int
	state       string // T… if it is stopped
}

// killFamily kills a process and its children. Children of PostgreSQL have their own sessions, and
// a busy one may notice late that its parent is gone; so they are looked up while the parent is
// stopped and can't create more.
func killFamily(parent *os.Process) error {
	if err := parent.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := frozen(parent.Pid)
	if err != nil {
		return err
	}
	if err := parent.Kill(); err != nil {
		return err
	}
	for _, pid := range children {
		// A stopped or dead parent has not reaped it, so the id can't belong to another process.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// frozen waits until a process that was told to stop has stopped or ended, and returns its
// children.
func frozen(pid int) ([]int, error) {
	for stopped := false; ; {
		all, err := processes()
		if err != nil {
			return nil, err
		}
		if stopped { // before this list was made
			var children []int
			for _, p := range all {
				if p.parent == pid {
					children = append(children, p.pid)
				}
			}
			return children, nil
		}
		i := slices.IndexFunc(all, func(p process) bool { return p.pid == pid })
		if stopped = i < 0 || all[i].state[0] == 'T' || all[i].state[0] == 'Z'; !stopped {
			time.Sleep(time.Millisecond)
		}
	}
}
