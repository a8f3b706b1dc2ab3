package picture_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/picture"
)

// A request whose first attempt was lost is drawn as two bars and the wait between them.
func Example() {
	row := picture.NewRow(picture.Request{
		Millis: 50, Status: 200,
		Attempts: []picture.Attempt{
			{Number: 1, Millis: 20, Outcome: "conflict", Conflict: &picture.Conflict{
				Bucket: "counters", Key: "shared", With: "job:sweep",
			}},
			{Number: 2, At: 30, Millis: 20, CommitAt: 45, CommitMillis: 5, Outcome: "committed"},
		},
	}, nil)
	for _, bar := range row.Bars {
		fmt.Printf("%s: %.0f to %.0f\n", bar.Class, bar.X, bar.X+bar.Width)
	}
	fmt.Println(picture.HTML("losses", row))
	// Output:
	// handler lost: 0 to 20
	// wait: 20 to 30
	// handler: 30 to 45
	// commit: 45 to 50
	// <p class="loss">Attempt 1 lost over <b>counters</b> <code>shared</code> to job:sweep</p>
}
