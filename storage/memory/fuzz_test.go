package memory_test

import (
	"testing"

	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/storagetest"
)

// FuzzOps checks that sequences of operations have the results of the model.
func FuzzOps(f *testing.F) {
	f.Add([]byte("seed of some operations, each letter a choice"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		db := memory.New("fuzz")
		defer db.Close()
		rest := choices
		storagetest.Ops(t, db, func() byte {
			if len(rest) == 0 {
				return 15 // mostly: commit
			}
			choice := rest[0]
			rest = rest[1:]
			return choice
		}, len(choices)/3)
	})
}
