package storage_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/storage"
)

func TestKeySet(t *testing.T) {
	t.Parallel()
	var added, want []string
	for i := range 1000 {
		key := fmt.Sprint(i * 7919 % 100)
		added = append(added, key)
		want = append(want, key)
		slices.Sort(want)
		want = slices.Compact(want)
		got, room := storage.KeySet(added...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("after %d keys (-want +got):\n%s", i+1, diff)
		}
		if limit := 4 * max(4, len(want)); room > limit {
			t.Fatalf("after %d keys: got room for %d, want at most %d for the %d that differ", i+1, room, limit, len(want))
		}
	}
}
