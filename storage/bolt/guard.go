package bolt

import (
	"fmt"
	"runtime/debug"

	"github.com/pasteline/pasteline/storage"
)

// bbolt trusts its file: inconsistent content makes it panic, or read outside of its memory map.
// Every call of bbolt is made under guard, so that a damaged file gives an error:
//
//	defer guard(protect(), &err)

// protect turns memory faults of this goroutine (a page that the file no longer has) into panics,
// and returns the previous setting.
func protect() bool { return debug.SetPanicOnFault(true) }

// guard turns a panic into an error that wraps storage.ErrDamaged.
func guard(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", storage.ErrDamaged, p)
	}
}
