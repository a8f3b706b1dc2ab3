package bolt

import (
	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

func engineOf(db *storage.DB) *database {
	e, ok := db.Engine().(*database)
	if !ok {
		panic("not a bolt database")
	}
	return e
}

// SetCommit replaces the function that commits a bbolt transaction of db, until restore is called.
func SetCommit(db *storage.DB, f func(*bbolt.Tx) error) (restore func()) {
	e := engineOf(db)
	e.commitTx = f
	return func() { e.commitTx = (*bbolt.Tx).Commit }
}

// Exported for tests of the stored format and of URIs.
var (
	EncodeFormat = encodeFormat
	DecodeFormat = decodeFormat
	Canonical    = canonical
)

// Pending returns the number of members of the gathering group.
func Pending(db *storage.DB) int {
	e := engineOf(db)
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	if e.queue.gathering == nil {
		return 0
	}
	return len(e.queue.gathering.members)
}

// Awaited reports whether a goroutine waits for the end of the running group.
func Awaited(db *storage.DB) bool {
	e := engineOf(db)
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	return e.queue.running != nil && e.queue.running.endedCh != nil
}

// Groups returns the number of groups that are in memory.
func Groups(db *storage.DB) (n int) {
	e := engineOf(db)
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	known := map[*group]bool{}
	var visit func(*group)
	visit = func(g *group) {
		if g == nil || known[g] {
			return
		}
		known[g] = true
		for _, r := range g.members {
			for _, o := range r.view.overlays {
				visit(o.group)
			}
		}
	}
	visit(e.queue.running)
	visit(e.queue.gathering)
	return len(known)
}

// Idle returns the number of idle readers.
func Idle(db *storage.DB) int {
	e := engineOf(db)
	e.readers.mu.Lock()
	defer e.readers.mu.Unlock()
	return len(e.readers.idle)
}

// Pause makes db check its path again, as after a pause in which nothing is written.
func Pause(db *storage.DB) {
	l := &engineOf(db).location
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote = l.wrote.Add(-pause)
}

// CommitThen returns a function for SetCommit that commits, and then calls f.
func CommitThen(f func() error) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if err := tx.Commit(); err != nil {
			return err
		}
		return f()
	}
}
