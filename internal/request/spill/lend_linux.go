package spill

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reopen opens a file that is open for reading only once more, with an offset of its own.
func reopen(file File) (again *os.File, err error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := conn.Control(func(fd uintptr) {
		var flags int
		flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
		switch {
		case err != nil:
		case flags&unix.O_ACCMODE != unix.O_RDONLY:
			err = os.ErrPermission
		default:
			again, err = os.Open("/proc/self/fd/" + strconv.FormatUint(uint64(fd), 10))
		}
	})
	return again, errors.Join(controlErr, err)
}
