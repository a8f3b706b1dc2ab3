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

// SetCommit makes commits of db go through f, until restore is called.
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

// Pending returns how many commits wait for the next group.
func Pending(db *storage.DB) int {
	e := engineOf(db)
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	if e.queue.gathering == nil {
		return 0
	}
	return len(e.queue.gathering.requests)
}

// Awaited reports whether a reader waits for a sync.
func Awaited(db *storage.DB) bool {
	e := engineOf(db)
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	return e.queue.running != nil && e.queue.running.done != nil
}

// Groups returns how many groups db still knows of.
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
		for _, r := range g.requests {
			for _, l := range r.view.layers {
				visit(l.group)
			}
		}
	}
	visit(e.queue.running)
	visit(e.queue.gathering)
	return len(known)
}

// Idle returns how many readers db keeps.
func Idle(db *storage.DB) int {
	e := engineOf(db)
	e.idle.mu.Lock()
	defer e.idle.mu.Unlock()
	return len(e.idle.readers)
}

// Rest is a pause, in which nothing is written.
func Rest(db *storage.DB) {
	p := &engineOf(db).place
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrote = p.wrote.Add(-pause)
}

// After commits, and then calls f.
func After(f func() error) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if err := tx.Commit(); err != nil {
			return err
		}
		return f()
	}
}
