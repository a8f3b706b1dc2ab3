package replay_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/replay"
)

func Example() {
	b := replay.New(io.NopCloser(strings.NewReader("the body")), replay.Options{})
	defer b.Close()
	for try := range 2 {
		var result attempt.Result
		text, err := io.ReadAll(b.Attempt(&result, try == 1))
		fmt.Printf("%s %v\n", text, err)
	}
	// Output:
	// the body <nil>
	// the body <nil>
}
