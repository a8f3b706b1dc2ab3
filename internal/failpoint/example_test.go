package failpoint_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/failpoint"
)

func ExampleHere() {
	fmt.Println("prepared")
	failpoint.Here("after prepare") // does nothing without the build tag
	fmt.Println("decided")
	// Output:
	// prepared
	// decided
}
