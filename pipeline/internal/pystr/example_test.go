package pystr_test

import (
	"fmt"

	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// Unlike Go's unicode.IsSpace, Python counts the information separators as white space.
func Example() {
	fmt.Printf("%q\n", pystr.Strip("\x1c main \u00a0"))
	fmt.Printf("%q\n", pystr.Fields("retry\x1ftm  app"))
	// Output:
	// "main"
	// ["retry" "tm" "app"]
}
