//go:build !unix

package watch

import (
	"os"
	"os/exec"
)

// detach changes nothing: without signals there is no interrupt to keep away.
func detach(*exec.Cmd) {}

// end kills the program, which can't be asked to end.
func end(p *os.Process) error { return p.Kill() }

// askToReload does nothing.
func askToReload(*os.Process) {}
