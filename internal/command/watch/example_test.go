package watch_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/command/watch"
)

// A program asks whether it runs under a watching process.
func ExampleStarted() {
	fmt.Println(watch.Started())
	// Output: 0
}
