//go:build !unix

package testserver

import (
	"errors"
	"os"
	"syscall"
)

const supported = false

func attributes(int, *account) *syscall.SysProcAttr { return nil }

func killFamily(*os.Process) error { return errors.ErrUnsupported }
