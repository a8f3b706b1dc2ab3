package storage_test

import (
	"sync"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// A meeting is an engine whose Begin waits until two goroutines have called it.
type meeting struct {
	engine.Engine
	arrived sync.WaitGroup
}

func (m *meeting) CanPrepare() bool {
	m.arrived.Done()
	m.arrived.Wait()
	return false
}

// If two goroutines are the first to use a database in a transaction, one joins it, and both get
// the same view.
func TestFirstUseByTwo(t *testing.T) {
	t.Parallel()
	e := &meeting{Engine: memory.New("m").Engine()}
	e.arrived.Add(2)
	db := storage.New("two at once", e)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, txn := transaction.Begin(t.Context())
	var views [2]*storage.Tx
	var group sync.WaitGroup
	for i, key := range []string{"a", "b"} {
		group.Go(func() {
			var err error
			if views[i], err = db.Tx(ctx); err != nil {
				t.Error(err)
				return
			}
			if err := views[i].Bucket("b").Put([]byte(key), nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if views[0] != views[1] {
		t.Error("each has a view of its own")
	}
	if err := txn.Commit(ctx); err != nil {
		t.Error(err)
	}
}
