//go:build !windows

package bolt

import "syscall"

var errReadOnlyFS error = syscall.EROFS

// errsFull are the errors of a file that can't grow: the disk is full, or a quota or a limit is
// reached.
var errsFull = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
