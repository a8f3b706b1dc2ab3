package probe_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/internal/probe"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	fmt.Println(probe.Create(filepath.Join(dir, "site.log")))
	fmt.Println(errors.Is(probe.Create(filepath.Join(dir, "logs", "site.log")), fs.ErrNotExist))
	left, err := os.ReadDir(dir)
	fmt.Println(len(left), err)
	// Output:
	// <nil>
	// true
	// 0 <nil>
}
