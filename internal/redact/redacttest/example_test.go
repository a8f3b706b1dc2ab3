package redacttest_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/redact/redacttest"
)

func Example() {
	for _, c := range redacttest.Cases() {
		said := "nothing of " + c.Name // what a program says of c.INI
		if found := c.Found(said); found != "" {
			fmt.Printf("%s: %q is shown\n", c.Name, found)
		}
	}
	// Output:
}
