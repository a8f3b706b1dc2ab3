//go:build windows || plan9 || solaris || aix || android

package bolt

import "os"

// lockNow leaves the lock to bbolt, which takes it a moment later: on these systems a second lock
// of the same process would block it.
func lockNow(*os.File) bool { return true }
