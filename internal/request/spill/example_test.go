package spill_test

import (
	"fmt"
	"os"

	"github.com/pasteline/pasteline/internal/request/spill"
)

func Example() {
	var b spill.Buffer
	defer b.Close()
	fmt.Fprint(&b, "Hello, ")
	fmt.Fprintln(&b, "World!")
	if _, err := b.WriteTo(os.Stdout); err != nil {
		fmt.Println(err)
	}
	fmt.Println(b.Len(), "bytes")
	// Output:
	// Hello, World!
	// 14 bytes
}
