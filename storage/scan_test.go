package storage_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// listing is an engine whose views are Listers, and count their calls.
type listing struct {
	engine.Engine
	lists *int
}

func (l listing) Begin(ctx context.Context) (engine.View, error) {
	view, err := l.Engine.Begin(ctx)
	return lister{view, l.lists}, err
}

type lister struct {
	engine.View
	lists *int
}

func (l lister) List(bucket string, r storage.Range) (items []storage.Item, err error) {
	*l.lists++
	for item, err := range l.Range(bucket, r) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// Items include the transaction's own writes, and the engine lists ranges without any.
func TestItems(t *testing.T) {
	t.Parallel()
	lists := 0
	db := storage.New("memory://x", listing{memory.New("x").Engine(), &lists})
	defer db.Close()
	for _, key := range []string{"a1", "b1", "b2", "c1"} {
		put(t, db, key, "old")
	}
	between := func(from, to string) storage.Range { return storage.Range{From: []byte(from), To: []byte(to)} }
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		b := tx.Bucket("b")
		for _, step := range []struct {
			name     string
			put, del string
			r        storage.Range
			want     []string
			listed   bool
		}{
			{"nothing is written", "", "", between("b", "c"), []string{"b1", "b2"}, true},
			{"a key before the range", "a2", "", between("b", "c"), []string{"b1", "b2"}, true},
			{"the key at its end", "c", "", between("b", "c"), []string{"b1", "b2"}, true},
			{"all keys", "", "", storage.Range{}, []string{"a1", "a2", "b1", "b2", "c", "c1"}, false},
			{"no key after the range's beginning", "", "", storage.Range{From: []byte("c0")}, []string{"c1"}, true},
			{"to a range's end that is open", "d", "", storage.Range{From: []byte("c0")}, []string{"c1", "d"}, false},
			{"a key that was there is deleted", "", "b1", between("b", "c"), []string{"b2"}, false},
			{"at the range's beginning", "", "", between("b1", "b2"), nil, false},
			{"in reverse", "b3", "", storage.Range{From: []byte("b"), To: []byte("c"), Reverse: true}, []string{"b3", "b2"}, false},
		} {
			if step.put != "" {
				if err := b.Put([]byte(step.put), []byte("new")); err != nil {
					return err
				}
			}
			if step.del != "" {
				if err := b.Delete([]byte(step.del)); err != nil {
					return err
				}
			}
			before := lists
			items, err := b.Items(step.r)
			if err != nil {
				return err
			}
			var got []string
			for _, item := range items {
				got = append(got, string(item.Key))
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, diff)
			}
			if listed := lists > before; listed != step.listed {
				t.Errorf("%s: listed by the engine: got %t, want %t", step.name, listed, step.listed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
