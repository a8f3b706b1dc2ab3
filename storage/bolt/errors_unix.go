//go:build !windows

package bolt

import "syscall"

var errReadOnlyFS error = syscall.EROFS

// errsFull are those of a file that can't grow: the disk is full, or the quota is, or a limit is reached.
var errsFull = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
