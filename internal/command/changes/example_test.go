package changes_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pasteline/pasteline/internal/command/changes"
)

func Example() {
	dir, err := os.MkdirTemp("", "changes")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	names := []string{filepath.Join(dir, "site.ini")}
	look := func() changes.Stamps { return changes.Look(names, changes.ReadStamp) }
	before := look()
	fmt.Println(changes.Settled(context.Background(), before, look, time.Millisecond))
	if err := os.WriteFile(names[0], []byte("[app:main]\n"), 0o600); err != nil {
		fmt.Println(err)
	}
	fmt.Println(changes.Settled(context.Background(), before, look, time.Millisecond))
	// Output:
	// false
	// true
}
