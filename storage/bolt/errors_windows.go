package bolt

import "syscall"

var errReadOnlyFS error = syscall.Errno(19) // ERROR_WRITE_PROTECT

// errsFull are the errors of a file that can't grow: ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL,
// ERROR_DISK_QUOTA_EXCEEDED.
var errsFull = []error{syscall.Errno(39), syscall.Errno(112), syscall.Errno(1295)}
