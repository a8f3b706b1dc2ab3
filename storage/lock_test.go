package storage_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
)

// locking is an engine that shares its locks with other processes, here with other databases of the
// test.
type locking struct {
	engine.Engine
	held *sync.Map
	err  error // nil: it works
}

func (l *locking) TryLock(_ context.Context, name string) (unlock func(), ok bool, err error) {
	if l.err != nil {
		return nil, false, l.err
	}
	_, taken := l.held.LoadOrStore(name, nil)
	return func() {
		if _, ok := l.held.LoadAndDelete(name); !ok {
			panic("unlocked twice")
		}
	}, !taken, nil
}

func TestTryLock(t *testing.T) {
	t.Parallel()
	var held sync.Map
	process := func(err error) *storage.DB { return storage.New("db", &locking{memory.New("db").Engine(), &held, err}) }
	alone := memory.New("alone")
	for _, tt := range []struct {
		name       string
		one, other *storage.DB
	}{
		{"one engine, which has no locks", alone, alone},
		{"two processes", process(nil), process(nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			try := func(db *storage.DB, name string, want bool) (unlock func()) {
				t.Helper()
				unlock, ok, err := db.TryLock(t.Context(), name)
				if ok != want || err != nil {
					t.Fatalf("%s: got %t, %v, want %t", name, ok, err, want)
				}
				return unlock
			}
			for range 2 {
				unlock := try(tt.one, tt.name, true)
				try(tt.one, tt.name, false)
				try(tt.other, tt.name, false)()
				try(tt.other, tt.name, false)
				try(tt.other, "another of "+tt.name, true)()
				unlock()
				unlock() // does nothing
				try(tt.other, tt.name, true)()
			}
		})
	}
}

// If the engine's TryLock fails, the lock is not held.
func TestTryLockFails(t *testing.T) {
	t.Parallel()
	e := &locking{memory.New("db").Engine(), &sync.Map{}, errors.New("no connection")}
	db := storage.New("db", e)
	if _, ok, err := db.TryLock(t.Context(), "work"); ok || err == nil || !strings.HasPrefix(err.Error(), "storage: db: ") || !errors.Is(err, e.err) {
		t.Errorf("got %t, %v", ok, err)
	}
	e.err = nil
	if unlock, ok, err := db.TryLock(t.Context(), "work"); !ok || err != nil {
		t.Errorf("afterwards: got %t, %v", ok, err)
	} else {
		unlock()
	}
}
