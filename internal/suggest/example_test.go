package suggest_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/suggest"
)

func Example() {
	keys := []string{"tries", "max_body", "read_body"}
	fmt.Println(suggest.DidYouMean("trys", keys))
	fmt.Println(suggest.DidYouMean("colour", keys))
	// Output:
	// did you mean "tries"?
	// have: max_body, read_body, tries
}
