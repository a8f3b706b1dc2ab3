package failpoint_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/failpoint"
)

func ExampleHere() {
	fmt.Println("prepared")
	failpoint.Here("after prepare") // nothing, unless the program was built to die here
	fmt.Println("decided")
	// Output:
	// prepared
	// decided
}
