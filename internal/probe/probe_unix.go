//go:build unix && !linux

package probe

import "syscall"

const errNotDir = syscall.ENOTDIR

const wOK, xOK = 2, 1 // of access(2)

// create checks the permissions of the folder.
func create(dir string) error { return syscall.Access(dir, wOK|xOK) }
