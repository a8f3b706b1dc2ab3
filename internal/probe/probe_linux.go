package probe

import (
	"errors"
	"syscall"
)

const errNotDir = syscall.ENOTDIR

const (
	oTmpfile = 0x400000 // O_TMPFILE without O_DIRECTORY
	wOK, xOK = 2, 1     // of access(2)

	procMagic, sysfsMagic = 0x9fa0, 0x62656572
)

// create creates a file without a name, which no other process sees and which is deleted when it is
// closed. On file systems without such files it checks the permissions of the folder.
func create(dir string) error {
	fd, err := syscall.Open(dir, oTmpfile|syscall.O_DIRECTORY|syscall.O_RDWR|syscall.O_CLOEXEC,
		0o600)
	switch {
	case err == nil:
		return syscall.Close(fd)
	case !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.EISDIR) &&
		!errors.Is(err, syscall.ENOENT):
		return err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err == nil && (s.Type == procMagic || s.Type == sysfsMagic) {
		return ErrNoFiles
	}
	return syscall.Access(dir, wOK|xOK)
}
