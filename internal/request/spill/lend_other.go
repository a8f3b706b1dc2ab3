//go:build !linux

package spill

import (
	"errors"
	"os"
)

// reopen fails: on this system, another descriptor would share the offset of the caller's.
func reopen(File) (*os.File, error) { return nil, errors.ErrUnsupported }
