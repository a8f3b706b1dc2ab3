package replay_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/pasteline/pasteline/internal/replay"
	"github.com/pasteline/pasteline/outcome"
)

func Example() {
	b := replay.New(io.NopCloser(strings.NewReader("the body")), replay.Options{})
	defer b.Close()
	for attempt := range 2 {
		var slot outcome.Slot
		text, err := io.ReadAll(b.Attempt(&slot, attempt == 1))
		fmt.Printf("%s %v\n", text, err)
	}
	// Output:
	// the body <nil>
	// the body <nil>
}
