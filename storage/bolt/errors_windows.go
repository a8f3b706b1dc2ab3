package bolt

import "syscall"

var errReadOnlyFS error = syscall.Errno(19) // ERROR_WRITE_PROTECT
