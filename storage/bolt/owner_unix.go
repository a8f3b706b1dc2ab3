//go:build unix

package bolt

import (
	"io/fs"
	"os"
	"syscall"
)

// likeOld gives the file at path the mode of another, and its owner if the process may.
func likeOld(path string, old fs.FileInfo) error {
	if info, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(path, int(info.Uid), int(info.Gid)) // only root may
	}
	return os.Chmod(path, old.Mode().Perm())
}
