//go:build !windows

package bolt

import "syscall"

var errReadOnlyFS error = syscall.EROFS
