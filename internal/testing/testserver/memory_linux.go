package testserver

import "syscall"

// memory is where Linux mounts a file system in memory.
const memory = "/dev/shm"

// enough is the free space for the servers of several test processes, in bytes. Containers often
// have less.
const enough = 1 << 30

// Memory returns the parent folder for a server that does not wait for the disk. It is in memory
// if the system has enough of it for files, and "" otherwise: the creation and removal of a
// server's many files in memory takes a fraction of the time.
func Memory() string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err != nil || s.Bavail*uint64(s.Bsize) < enough {
		return ""
	}
	return memory
}
