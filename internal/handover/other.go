//go:build !unix

package handover

import (
	"net"
	"os/exec"
)

// A Keeper keeps nothing on this system.
type Keeper struct{}

// NewKeeper returns nil.
func NewKeeper() (*Keeper, error) { return nil, nil } //nolint:nilnil // as documented

// Start starts cmd.
func (*Keeper) Start(cmd *exec.Cmd) error { return cmd.Start() }

// Release does nothing.
func (*Keeper) Release() {}

// Close does nothing.
func (*Keeper) Close() error { return nil }

// Listen calls open.
func Listen(_ string, open func() (net.Listener, error)) (net.Listener, error) { return open() }

// Settle does nothing.
func Settle() {}
