package bolt

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// SetCommit makes commits of db go through f, until restore is called.
func SetCommit(db *storage.DB, f func(*bbolt.Tx) error) (restore func()) {
	e, ok := db.Engine().(*engine)
	if !ok {
		panic("not a bolt database")
	}
	e.commitTx = f
	return func() { e.commitTx = (*bbolt.Tx).Commit }
}

// Exported for tests of the stored format and of URIs.
var (
	EncodeFormat = encodeFormat
	DecodeFormat = decodeFormat
	Canonical    = canonical
)

// CommitNonsense commits something that makes the leader of its group panic: before anything is written, or when it has been.
func CommitNonsense(db *storage.DB, written bool) error {
	e, ok := db.Engine().(*engine)
	if !ok {
		panic("not a bolt database")
	}
	v, err := e.Begin(context.Background())
	if err != nil {
		return err
	}
	defer v.Close()
	r := &request{view: v.(*view)}
	if written {
		r.changes = &storage.Changes{Writes: []storage.Write{{Bucket: "b", Key: "nonsense", Value: []byte{}}}}
		e.history = nil
	}
	r.view.endSnapshot()
	return e.commit(r)
}

// Pending returns how many commits wait for the next group.
func Pending(db *storage.DB) int {
	e, ok := db.Engine().(*engine)
	if !ok {
		panic("not a bolt database")
	}
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	if e.queue.gathering == nil {
		return 0
	}
	return len(e.queue.gathering.requests)
}

// Awaited reports whether a reader waits for a sync.
func Awaited(db *storage.DB) bool {
	e, ok := db.Engine().(*engine)
	if !ok {
		panic("not a bolt database")
	}
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	return e.queue.running != nil && e.queue.running.done != nil
}
