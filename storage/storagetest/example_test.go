package storagetest_test

import (
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/storagetest"
)

func Example() {
	engine := storagetest.Engine{
		Open: func(testing.TB) *storage.DB { return memory.New("conformance") },
	}
	testConformance := func(t *testing.T) { //nolint:thelper // a test
		storagetest.Run(t, engine)
	}

	fmt.Printf("%T\n", testConformance)
	// Output: func(*testing.T)
}
