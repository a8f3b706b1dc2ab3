package crashpoint_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/crashpoint"
)

func ExampleHere() {
	fmt.Println("prepared")
	crashpoint.Here("after prepare") // nothing, unless the program was built to die here
	fmt.Println("decided")
	// Output:
	// prepared
	// decided
}
