//go:build unix

package testserver

import "slices"

// Runs says whether there is such a process. One that has ended, and that nobody has asked how, runs no more.
func Runs(pid int) (bool, error) {
	all, err := processes()
	return slices.ContainsFunc(all, func(p process) bool { return p.pid == pid && p.state[0] != 'Z' }), err
}
