package memory_test

import (
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/storagetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, storagetest.Engine{
		Open: func(testing.TB) *storage.DB { return memory.New("test") },
	})
}
